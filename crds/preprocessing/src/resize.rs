use drydock_contract::Filter;
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use crate::decode::{MAX_PIXELS, Pixels};
use crate::error::ImageError;

/// What an image is resized to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    ShorterSide(u32),
    Exact { width: u32, height: u32 },
}

impl Target {
    /// The longer side is cut off to whole pixels, as torchvision does.
    fn size(self, width: u32, height: u32) -> Option<(u32, u32)> {
        let longer = |side: u32, long: u32, short: u32| u64::from(side) * u64::from(long) / u64::from(short.max(1));
        let (width, height) = match self {
            Self::Exact { width, height } => (u64::from(width), u64::from(height)),
            Self::ShorterSide(side) if width < height => (u64::from(side), longer(side, height, width)),
            Self::ShorterSide(side) => (longer(side, width, height), u64::from(side)),
        };
        let allowed = width.checked_mul(height).is_some_and(|n| n <= MAX_PIXELS);
        allowed.then_some((width as u32, height as u32))
    }
}

pub(crate) fn resize(from: Pixels, target: Target, filter: Filter) -> Result<Pixels, ImageError> {
    let too_large = ImageError::TooLarge { width: from.width, height: from.height };
    let (width, height) = target.size(from.width, from.height).ok_or(too_large)?;
    if (width, height) == (from.width, from.height) {
        return Ok(from);
    }
    let kind = if from.channels == 1 { PixelType::U8 } else { PixelType::U8x3 };
    let filter = match filter {
        Filter::Bilinear => FilterType::Bilinear,
        Filter::Bicubic => FilterType::CatmullRom,
    };
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter));
    let fail = |problem: String| ImageError::Decode { format: "decoded", problem };
    let source = ImageRef::new(from.width, from.height, &from.data, kind).map_err(|e| fail(e.to_string()))?;
    let mut made = Image::new(width, height, kind);
    Resizer::new().resize(&source, &mut made, &options).map_err(|e| fail(e.to_string()))?;
    Ok(Pixels { width, height, channels: from.channels, data: made.into_vec() })
}
