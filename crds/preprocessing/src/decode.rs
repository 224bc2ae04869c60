use std::io::Cursor;

use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use crate::error::ImageError;

/// 64 Mi pixels: 8192 x 8192. A file of some kilobytes can claim to be more.
pub(crate) const MAX_PIXELS: u64 = 1 << 26;
/// Of 16-bit RGBA, and what the decoder needs besides.
const MAX_ALLOCATION: u64 = MAX_PIXELS * 8 + (64 << 20);

/// 8-bit pixels, row after row, the channels of each together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pixels {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) channels: usize,
    pub(crate) data: Vec<u8>,
}

/// Width and height.
pub(crate) fn size(encoded: &[u8]) -> Result<(u32, u32), ImageError> {
    Ok(open(encoded)?.0.dimensions())
}

/// As Pillow's `Image.open(…).convert("RGB")`, or `convert("L")`.
pub(crate) fn decode(encoded: &[u8], grey: bool) -> Result<Pixels, ImageError> {
    let (decoder, name) = open(encoded)?;
    let (width, height) = decoder.dimensions();
    let fail = |problem: String| ImageError::Decode { format: name, problem };
    // The decoder takes what is missing of a JPEG for grey.
    if name == JPEG && is_cut(encoded) {
        return Err(fail("it is truncated: there is no end of image".into()));
    }
    let image = DynamicImage::from_decoder(decoder).map_err(|e| fail(e.to_string()))?;
    Ok(Pixels { width, height, channels: if grey { 1 } else { 3 }, data: convert(image, grey) })
}

const JPEG: &str = "JPEG";

/// A decoder that has read the header, and the name of the format.
fn open(encoded: &[u8]) -> Result<(impl ImageDecoder, &'static str), ImageError> {
    let (format, name) = match image::guess_format(encoded) {
        Ok(format @ ImageFormat::Jpeg) => (format, JPEG),
        Ok(format @ ImageFormat::Png) => (format, "PNG"),
        Ok(format @ ImageFormat::WebP) => (format, "WebP"),
        Ok(other) => return Err(ImageError::Format { found: format!("{other:?}") }),
        Err(_) if encoded.is_empty() => return Err(ImageError::Format { found: "an empty file".into() }),
        Err(_) => return Err(ImageError::Format { found: "content that is no image".into() }),
    };
    let fail = |problem: String| ImageError::Decode { format: name, problem };
    let mut reader = ImageReader::with_format(Cursor::new(encoded), format);
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_ALLOCATION);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(|e| fail(e.to_string()))?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(ImageError::TooLarge { width, height });
    }
    Ok((decoder, name))
}

/// Whether the last scan has no end-of-image marker after it. Thumbnails have markers of their own, before it.
fn is_cut(jpeg: &[u8]) -> bool {
    let last = |marker: u8| jpeg.windows(2).rposition(|w| w == [0xFF, marker]);
    last(0xDA).is_some_and(|scan| last(0xD9).is_none_or(|end| end < scan))
}

fn convert(image: DynamicImage, grey: bool) -> Vec<u8> {
    // Pillow reads the high byte of 16-bit colours, and cuts 16-bit grey off at 255.
    let high = |v: u16| (v >> 8) as u8;
    let low = |v: u16| v.min(255) as u8;
    match image {
        DynamicImage::ImageLuma8(i) => grey_to(i.into_raw().into_iter(), grey),
        DynamicImage::ImageLumaA8(i) => grey_to(i.into_raw().into_iter().step_by(2), grey),
        DynamicImage::ImageLuma16(i) => grey_to(i.into_raw().into_iter().map(low), grey),
        DynamicImage::ImageLumaA16(i) => grey_to(i.into_raw().into_iter().step_by(2).map(high), grey),
        DynamicImage::ImageRgb8(i) if !grey => i.into_raw(),
        DynamicImage::ImageRgb8(i) => colour_to(i.pixels().map(|p| p.0), grey),
        DynamicImage::ImageRgba8(i) => colour_to(i.pixels().map(|p| [p[0], p[1], p[2]]), grey),
        DynamicImage::ImageRgb16(i) => colour_to(i.pixels().map(|p| p.0.map(high)), grey),
        DynamicImage::ImageRgba16(i) => colour_to(i.pixels().map(|p| [p[0], p[1], p[2]].map(high)), grey),
        // Float images, which none of the three formats holds.
        other => colour_to(other.into_rgb8().pixels().map(|p| p.0), grey),
    }
}

fn grey_to(values: impl Iterator<Item = u8>, grey: bool) -> Vec<u8> {
    if grey { values.collect() } else { values.flat_map(|v| [v; 3]).collect() }
}

fn colour_to(pixels: impl Iterator<Item = [u8; 3]>, grey: bool) -> Vec<u8> {
    if grey { pixels.map(luma).collect() } else { pixels.flatten().collect() }
}

/// ITU-R 601 in 16-bit fixed point, as Pillow rounds it.
fn luma([r, g, b]: [u8; 3]) -> u8 {
    ((19595 * u32::from(r) + 38470 * u32::from(g) + 7471 * u32::from(b) + 0x8000) >> 16) as u8
}
