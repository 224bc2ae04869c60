use drydock_contract::{ChannelOrder, Crop, Preprocessing, Resize};

use crate::decode::{self, Pixels};
use crate::error::{ImageError, PreprocessingError, size};
use crate::layout::Layout;
use crate::normalize::Normalizer;
use crate::placement::{Part, Placement};
use crate::resize::{Target, resize};

/// Makes encoded images into inputs of one model.
#[derive(Clone, Debug)]
pub struct Images {
    layout: Layout,
    target: Option<(Target, drydock_contract::Filter)>,
    crop: Option<Crop>,
    order: ChannelOrder,
    normalizer: Normalizer,
}

/// One input, without the batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    pub shape: Vec<i64>,
    pub data: Vec<f32>,
    /// Where the image is in it.
    pub placement: Placement,
}

impl Images {
    /// `input` is the shape of the model's input without the batch, -1 for a dimension that may be any.
    ///
    /// # Errors
    /// The model takes no images, or images that this pre-processing does not make.
    pub fn new(preprocessing: &Preprocessing, input: &[i64]) -> Result<Self, PreprocessingError> {
        let layout = Layout::of(input)?;
        let target = preprocessing.resize.map(|r| Ok((target(&r)?, r.filter))).transpose()?;
        let crop = preprocessing.crop;
        let order = match (preprocessing.channel_order, layout.channels) {
            (Some(ChannelOrder::Rgb), 1) => return Err(PreprocessingError::Order { order: "RGB" }),
            (Some(ChannelOrder::Bgr), 1) => return Err(PreprocessingError::Order { order: "BGR" }),
            (Some(order), _) => order,
            (None, 1) => ChannelOrder::Grey,
            (None, _) => ChannelOrder::Rgb,
        };
        let made = match (crop, target) {
            (Some(crop), _) => Some((crop.width, crop.height)),
            (None, Some((Target::Exact { width, height } | Target::Letterbox { width, height, .. }, _))) => {
                Some((width, height))
            }
            _ => None,
        };
        if let Some((width, height)) = made.filter(|(w, h)| !fits(layout, *w, *h)) {
            return Err(PreprocessingError::Size { found: size(width, height), expected: expected(layout) });
        }
        let normalizer = Normalizer::new(preprocessing, &[layout.channels as i64, 2, 2])?;
        Ok(Self { layout, target, crop, order, normalizer })
    }

    /// Bytes that [`Images::tensor`] takes for this image at most, from its first bytes alone.
    ///
    /// # Errors
    /// It is no image, or too large for any.
    pub fn memory(&self, encoded: &[u8]) -> Result<usize, ImageError> {
        let (width, height) = decode::size(encoded)?;
        let pixels = |w: u32, h: u32| w as usize * h as usize;
        let resized = self.target.and_then(|(target, _)| target.size(width, height)).unwrap_or((width, height));
        let (found, made) = (pixels(width, height), pixels(resized.0, resized.1));
        // 16-bit RGBA and what is made of it; then the resized copy, between two passes twice as much; then the values.
        Ok(found * (8 + 3) + (found + made) * 3 + made * (3 + self.layout.channels * size_of::<f32>()))
    }

    /// The input that an encoded image becomes.
    ///
    /// # Errors
    /// It does not decode, or has another size than the model takes when all is done.
    pub fn tensor(&self, encoded: &[u8]) -> Result<Tensor, ImageError> {
        let pixels = decode::decode(encoded, self.order == ChannelOrder::Grey)?;
        let image = (pixels.width, pixels.height);
        let (pixels, content) = if let Some((target, filter)) = self.target {
            resize(pixels, target, filter)?
        } else {
            let content = Part { left: 0, top: 0, width: pixels.width, height: pixels.height };
            (pixels, content)
        };
        let part = match self.crop {
            Some(crop) => centre(&pixels, crop)?,
            None => Part { left: 0, top: 0, width: pixels.width, height: pixels.height },
        };
        if !fits(self.layout, part.width, part.height) {
            return Err(ImageError::Size { found: size(part.width, part.height), expected: expected(self.layout) });
        }
        Ok(self.lay_out(&pixels, part, Placement::new(image, content, part)))
    }

    fn lay_out(&self, pixels: &Pixels, part: Part, placement: Placement) -> Tensor {
        let count = part.width as usize * part.height as usize;
        let mut data = vec![0.0; count * self.layout.channels];
        let row_values = pixels.width as usize * pixels.channels;
        let rows = pixels.data.chunks_exact(row_values.max(1)).skip(part.top as usize).take(part.height as usize);
        for channel in 0..self.layout.channels {
            let table = self.normalizer.table(channel);
            let from = match self.order {
                ChannelOrder::Rgb => channel,
                ChannelOrder::Bgr => 2 - channel,
                ChannelOrder::Grey => 0,
            };
            let mut at = 0;
            for row in rows.clone() {
                let values = row.chunks_exact(pixels.channels).skip(part.left as usize).take(part.width as usize);
                for value in values {
                    data[self.layout.index(count, at, channel)] = table[usize::from(value[from])];
                    at += 1;
                }
            }
        }
        Tensor { shape: self.layout.shape(part.width, part.height), data, placement }
    }
}

fn centre(pixels: &Pixels, crop: Crop) -> Result<Part, ImageError> {
    let (Some(x), Some(y)) = (pixels.width.checked_sub(crop.width), pixels.height.checked_sub(crop.height)) else {
        return Err(ImageError::Crop { found: size(pixels.width, pixels.height), crop: size(crop.width, crop.height) });
    };
    Ok(Part { left: half_even(x), top: half_even(y), width: crop.width, height: crop.height })
}

/// Half of it, rounded as Python rounds: torchvision cuts there.
fn half_even(n: u32) -> u32 {
    let down = n / 2;
    if n % 2 == 1 { down + down % 2 } else { down }
}

fn target(r: &Resize) -> Result<Target, PreprocessingError> {
    let found = match (r.shorter_side, r.width, r.height) {
        (Some(0), ..) | (_, Some(0), _) | (.., Some(0)) => "a length of 0",
        (Some(_), None, None) if r.letterbox.is_some() => "letterbox without width and height",
        (Some(side), None, None) => return Ok(Target::ShorterSide(side)),
        (None, Some(width), Some(height)) => {
            return Ok(match r.letterbox {
                Some(fill) => Target::Letterbox { width, height, fill },
                None => Target::Exact { width, height },
            });
        }
        (None, None, None) => "no length",
        (Some(_), ..) => "shorterSide beside width or height",
        (None, ..) => "only one of width and height",
    };
    Err(PreprocessingError::Resize { found })
}

fn fits(layout: Layout, width: u32, height: u32) -> bool {
    layout.width.is_none_or(|w| w == width) && layout.height.is_none_or(|h| h == height)
}

fn expected(layout: Layout) -> String {
    let text = |d: Option<u32>| d.map_or("any".to_owned(), |d| d.to_string());
    size(text(layout.width), text(layout.height))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_go_to_the_even_number() {
        let halves: Vec<u32> = (0..8).map(half_even).collect();
        assert_eq!(halves, [0, 0, 1, 2, 2, 2, 3, 4]);
    }

    #[test]
    fn what_no_model_can_use_is_refused_before_an_image_is_read() {
        let plain = Preprocessing { scale: 1.0, ..Preprocessing::default() };
        let exact = |width, height| Some(Resize { width, height, ..Resize::default() });
        let crop = |width, height| Some(Crop { width, height });
        for (preprocessing, input, part) in [
            (Preprocessing { crop: crop(4, 5), ..plain.clone() }, &[3, 4, 5][..], "images of 4 x 5; expected 5 x 4"),
            (Preprocessing { resize: exact(Some(4), Some(4)), ..plain.clone() }, &[-1, 5, 3], "expected 5 x any"),
            (Preprocessing { resize: exact(Some(4), None), ..plain.clone() }, &[3, 4, 4], "only one of width"),
            (Preprocessing { resize: exact(Some(4), Some(0)), ..plain.clone() }, &[3, 4, 4], "a length of 0"),
            (Preprocessing { resize: Some(Resize::default()), ..plain.clone() }, &[3, 4, 4], "no length"),
            (
                Preprocessing {
                    resize: Some(Resize { shorter_side: Some(4), letterbox: Some(0), ..Resize::default() }),
                    ..plain.clone()
                },
                &[3, 4, 4],
                "letterbox without width",
            ),
            (
                Preprocessing { channel_order: Some(ChannelOrder::Bgr), ..plain.clone() },
                &[1, 4, 4],
                "channelOrder is BGR; expected Grey",
            ),
            (Preprocessing { mean: vec![0.0; 3], ..plain.clone() }, &[1, 4, 4], "3 values of preprocessing.mean"),
            (plain, &[768], "(N, 768)"),
        ] {
            let error = Images::new(&preprocessing, input).unwrap_err().to_string();
            assert!(error.contains(part), "{part}: {error}");
        }
    }
}
