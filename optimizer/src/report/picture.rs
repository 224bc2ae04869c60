use drydock_contract::Preprocessing;

/// Larger ones are shrunk by a whole factor.
const SIDE: usize = 96;

/// The input of a model as a picture again: a PNG file; `None` if it is none.
///
/// `shape` is that of the input without its batch: (height, width), or with 1 or 3 channels first or last.
pub(super) fn png(values: &[f32], shape: &[i64], preprocessing: &Preprocessing) -> Option<Vec<u8>> {
    let layout = Layout::of(shape)?;
    let count = layout.height.checked_mul(layout.width)?.checked_mul(layout.channels)?;
    if count == 0 || values.len() != count {
        return None;
    }
    let mut raw = values.to_vec();
    for (i, value) in raw.iter_mut().enumerate() {
        *value = undo(*value, preprocessing, if layout.last { 0 } else { i / (layout.height * layout.width) });
    }
    let tone = Tone::of(&raw)?;
    let step = layout.height.max(layout.width).div_ceil(SIDE);
    let (height, width) = (layout.height.div_ceil(step), layout.width.div_ceil(step));
    let mut pixels = Vec::with_capacity(height * width * layout.channels);
    for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
        for channel in 0..layout.channels {
            pixels.push(tone.byte(layout.mean(&raw, [y * step, x * step], step, channel)));
        }
    }
    encode(&pixels, width, height, layout.channels)
}

/// What the value was before pre-processing; of channels that are last, what the first one was.
fn undo(value: f32, preprocessing: &Preprocessing, channel: usize) -> f32 {
    let at = |values: &[f64], default: f64| values.get(channel).or(values.first()).copied().unwrap_or(default);
    let raw = f64::from(value) * at(&preprocessing.std, 1.0) + at(&preprocessing.mean, 0.0);
    (raw / preprocessing.scale) as f32
}

#[derive(Clone, Copy, Debug)]
struct Layout {
    height: usize,
    width: usize,
    channels: usize,
    /// The channels are the last axis.
    last: bool,
}

impl Layout {
    fn of(shape: &[i64]) -> Option<Self> {
        let sizes: Vec<usize> = shape.iter().map(|d| usize::try_from(*d).ok()).collect::<Option<_>>()?;
        match sizes[..] {
            [height, width] => Some(Self { height, width, channels: 1, last: false }),
            [channels @ (1 | 3), height, width] => Some(Self { height, width, channels, last: false }),
            [height, width, channels @ (1 | 3)] => Some(Self { height, width, channels, last: true }),
            _ => None,
        }
    }

    /// Of a square of pixels, as much of it as there is.
    fn mean(self, raw: &[f32], [top, left]: [usize; 2], side: usize, channel: usize) -> f32 {
        let (mut sum, mut count) = (0.0, 0.0);
        for y in top..(top + side).min(self.height) {
            for x in left..(left + side).min(self.width) {
                let pixel = y * self.width + x;
                sum += if self.last {
                    raw[pixel * self.channels + channel]
                } else {
                    raw[channel * self.height * self.width + pixel]
                };
                count += 1.0;
            }
        }
        sum / count
    }
}

/// From raw values to bytes.
#[derive(Clone, Copy, Debug)]
struct Tone {
    black: f32,
    white: f32,
}

impl Tone {
    /// Bytes are taken as they are, and so are numbers from 0 to 1; anything else is spread from its least to its largest.
    fn of(raw: &[f32]) -> Option<Self> {
        let (low, high) = raw.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
        let slack = 0.01;
        Some(match (low, high) {
            (l, h) if !(l.is_finite() && h.is_finite()) => return None,
            (l, h) if l >= -slack && h <= 1.0 + slack => Self { black: 0.0, white: 1.0 },
            (l, h) if l >= -0.5 && h <= 255.5 => Self { black: 0.0, white: 255.0 },
            (black, white) => Self { black, white },
        })
    }

    fn byte(self, value: f32) -> u8 {
        ((value - self.black) / (self.white - self.black) * 255.0).round() as u8
    }
}

fn encode(pixels: &[u8], width: usize, height: usize, channels: usize) -> Option<Vec<u8>> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, u32::try_from(width).ok()?, u32::try_from(height).ok()?);
    encoder.set_color(if channels == 3 { png::ColorType::Rgb } else { png::ColorType::Grayscale });
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header().ok()?.write_image_data(pixels).ok()?;
    Some(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(file: &[u8]) -> (u32, u32, Vec<u8>) {
        let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        pixels.truncate(info.buffer_size());
        (info.width, info.height, pixels)
    }

    #[test]
    fn pixels_come_back_as_they_were() {
        let preprocessing = Preprocessing {
            scale: 1.0 / 255.0,
            mean: vec![0.5, 0.25, 0.0],
            std: vec![0.5, 0.25, 2.0],
            ..Preprocessing::default()
        };
        let bytes = [0_u8, 50, 100, 255, 1, 200];
        let normalized = |i: usize, channel: usize| {
            let value = f64::from(bytes[i]) / 255.0;
            ((value - preprocessing.mean[channel]) / preprocessing.std[channel]) as f32
        };
        let first: Vec<f32> = (0..6).map(|i| normalized(i, i / 2)).collect();
        let file = png(&first, &[3, 1, 2], &preprocessing).unwrap();
        assert_eq!(decode(&file), (2, 1, vec![0, 100, 1, 50, 255, 200]));
    }

    #[test]
    fn other_layouts_ranges_and_sizes() {
        let none = Preprocessing { scale: 1.0, mean: vec![], std: vec![], ..Preprocessing::default() };
        for (values, shape, expected) in [
            (vec![0.0, 1.0], &[1, 2][..], (2, 1, vec![0, 255])),
            (vec![-3.0, 1.0, 5.0], &[1, 1, 3], (3, 1, vec![0, 128, 255])),
            (vec![0.0, 50.0, 100.0, 200.0, 7.0, 8.0], &[2, 1, 3], (1, 2, vec![0, 50, 100, 200, 7, 8])),
        ] {
            assert_eq!(decode(&png(&values, shape, &none).unwrap()), expected, "{shape:?}");
        }
        let wide = vec![7.0; 200 * 100];
        assert_eq!(decode(&png(&wide, &[100, 200], &none).unwrap()), (67, 34, vec![7; 67 * 34]));
        assert_eq!(png(&[0.0; 8], &[2, 2, 2], &none), None);
        assert_eq!(png(&[0.0; 8], &[2, 2], &none), None);
        assert_eq!(png(&[f32::NAN], &[1, 1], &none), None);
    }
}
