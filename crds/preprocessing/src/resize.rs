//! Pillow's resampling, to the bit: fixed point, rounded to bytes between the two passes. The crates round elsewhere: on the images of
//! tests/fixtures `image` 0.25 is up to 1 step of 255 away from Pillow, `fast_image_resize` 6.1 up to 2.

use drydock_contract::Filter;

use crate::decode::{MAX_PIXELS, Pixels};
use crate::error::ImageError;
use crate::placement::Part;

/// Bits behind the point of a weight. What is left of 32 holds a byte, a sign and an overshoot.
const PRECISION: u32 = 32 - 8 - 2;

/// What an image is resized to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    ShorterSide(u32),
    Exact {
        width: u32,
        height: u32,
    },
    /// As large as fits, with the rest filled.
    Letterbox {
        width: u32,
        height: u32,
        fill: u8,
    },
}

impl Target {
    /// Of the result. The longer side is cut off to whole pixels, as torchvision does.
    pub(crate) fn size(self, width: u32, height: u32) -> Option<(u32, u32)> {
        let longer = |side: u32, long: u32, short: u32| u64::from(side) * u64::from(long) / u64::from(short.max(1));
        let (width, height) = match self {
            Self::Exact { width, height } | Self::Letterbox { width, height, .. } => {
                (u64::from(width), u64::from(height))
            }
            Self::ShorterSide(side) if width < height => (u64::from(side), longer(side, height, width)),
            Self::ShorterSide(side) => (longer(side, width, height), u64::from(side)),
        };
        let allowed = width.checked_mul(height).is_some_and(|n| n <= MAX_PIXELS);
        allowed.then_some((width as u32, height as u32))
    }
}

/// The result, and the part of it that the image became.
pub(crate) fn resize(from: Pixels, target: Target, filter: Filter) -> Result<(Pixels, Part), ImageError> {
    let too_large = ImageError::TooLarge { width: from.width, height: from.height };
    let (width, height) = target.size(from.width, from.height).ok_or(too_large)?;
    let part = match target {
        Target::Letterbox { .. } => letterbox((from.width, from.height), (width, height)),
        Target::ShorterSide(_) | Target::Exact { .. } => Part { left: 0, top: 0, width, height },
    };
    let wide = if part.width == from.width { from } else { horizontal(&from, part.width, filter) };
    let made = if part.height == wide.height { wide } else { vertical(&wide, part.height, filter) };
    Ok((if let Target::Letterbox { fill, .. } = target { pad(&made, part, (width, height), fill) } else { made }, part))
}

/// As large as fits, the shorter side rounded to even at a half; in the middle, the odd pixel after it, as Ultralytics has it.
fn letterbox((width, height): (u32, u32), (wide, high): (u32, u32)) -> Part {
    let scaled = |side: u32, to: u32, of: u32| {
        let (product, of) = (u64::from(side) * u64::from(to), u64::from(of.max(1)));
        let (whole, rest) = (product / of, 2 * (product % of));
        let up = rest > of || rest == of && whole % 2 == 1;
        ((whole + u64::from(up)) as u32).max(1)
    };
    let is_wide = u64::from(width) * u64::from(high) >= u64::from(height) * u64::from(wide);
    let (width, height) =
        if is_wide { (wide, scaled(height, wide, width)) } else { (scaled(width, high, height), high) };
    Part { left: (wide - width) / 2, top: (high - height) / 2, width, height }
}

fn pad(from: &Pixels, part: Part, (width, height): (u32, u32), fill: u8) -> Pixels {
    let row_values = from.width as usize * from.channels;
    let wide_values = width as usize * from.channels;
    let mut data = vec![fill; wide_values * height as usize];
    let rows = data.chunks_exact_mut(wide_values).skip(part.top as usize);
    for (to, row) in rows.zip(from.data.chunks_exact(row_values)) {
        to[part.left as usize * from.channels..][..row_values].copy_from_slice(row);
    }
    Pixels { width, height, channels: from.channels, data }
}

/// What one pixel is made of: so many of the old ones, from the first on.
struct Window {
    first: usize,
    weights: Vec<i32>,
}

fn windows(from: u32, to: u32, filter: Filter) -> Vec<Window> {
    let scale = f64::from(from) / f64::from(to);
    // What is made smaller is smoothed over all that it covers.
    let stretch = scale.max(1.0);
    let reach = stretch * if filter == Filter::Bilinear { 1.0 } else { 2.0 };
    let window = |i: u32| {
        let centre = (f64::from(i) + 0.5) * scale;
        let first = (centre - reach + 0.5).max(0.0) as usize;
        let last = ((centre + reach + 0.5) as usize).min(from as usize);
        let weight = |at: usize| weigh(filter, (at as f64 - centre + 0.5) / stretch);
        let sum: f64 = (first..last).map(weight).sum();
        let fixed = |w: f64| (w / sum * f64::from(1 << PRECISION)).round() as i32;
        Window { first, weights: (first..last).map(|at| fixed(weight(at))).collect() }
    };
    (0..to).map(window).collect()
}

fn weigh(filter: Filter, distance: f64) -> f64 {
    let x = distance.abs();
    match filter {
        Filter::Bilinear => (1.0 - x).max(0.0),
        // Keys' cubic with a = -0.5.
        Filter::Bicubic if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
        Filter::Bicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5,
        Filter::Bicubic => 0.0,
    }
}

fn horizontal(from: &Pixels, width: u32, filter: Filter) -> Pixels {
    let windows = windows(from.width, width, filter);
    let mut data = Vec::with_capacity(width as usize * from.height as usize * from.channels);
    for row in from.data.chunks_exact(from.width as usize * from.channels) {
        for window in &windows {
            let pixels = row[window.first * from.channels..].chunks_exact(from.channels);
            let mut sums = [1 << (PRECISION - 1); 3];
            for (pixel, weight) in pixels.zip(&window.weights) {
                for (sum, value) in sums.iter_mut().zip(pixel) {
                    *sum += i32::from(*value) * weight;
                }
            }
            data.extend(sums[..from.channels].iter().map(|s| byte(*s)));
        }
    }
    Pixels { width, height: from.height, channels: from.channels, data }
}

fn vertical(from: &Pixels, height: u32, filter: Filter) -> Pixels {
    let row_values = from.width as usize * from.channels;
    let mut data = Vec::with_capacity(row_values * height as usize);
    let mut sums = vec![0_i32; row_values];
    for window in windows(from.height, height, filter) {
        sums.fill(1 << (PRECISION - 1));
        let rows = from.data[window.first * row_values..].chunks_exact(row_values);
        for (row, weight) in rows.zip(&window.weights) {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += i32::from(*value) * weight;
            }
        }
        data.extend(sums.iter().map(|s| byte(*s)));
    }
    Pixels { width: from.width, height, channels: from.channels, data }
}

fn byte(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}
