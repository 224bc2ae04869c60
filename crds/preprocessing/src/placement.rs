/// A rectangle of whole pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) left: u32,
    pub(crate) top: u32,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

/// Where an image is in a model's input: resized, and then moved by a letterbox or a crop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placement {
    /// Width and height of the image as it came, in pixels.
    pub image: (u32, u32),
    /// Pixels of the input for one of the image, along x and y.
    scale: [f64; 2],
    /// Where the image's first pixel is in the input; below 0 where it is cut off.
    origin: [f64; 2],
}

impl Placement {
    /// `content`: what the image became when it was resized; `kept`: what of that picture is the input.
    pub(crate) fn new(image: (u32, u32), content: Part, kept: Part) -> Self {
        let ratio = |made: u32, of: u32| f64::from(made) / f64::from(of.max(1));
        let less = |a: u32, b: u32| f64::from(a) - f64::from(b);
        Self {
            image,
            scale: [ratio(content.width, image.0), ratio(content.height, image.1)],
            origin: [less(content.left, kept.left), less(content.top, kept.top)],
        }
    }

    /// Of an input that is the image.
    pub fn whole(width: u32, height: u32) -> Self {
        Self { image: (width, height), scale: [1.0; 2], origin: [0.0; 2] }
    }

    /// Left, top, right and bottom of a box in the input, in pixels, become those in the image, which it does not reach out of.
    pub fn to_image(&self, edges: [f64; 4]) -> [f64; 4] {
        let limits = [self.image.0, self.image.1].map(f64::from);
        let mut made = edges;
        for (at, edge) in made.iter_mut().enumerate() {
            let axis = at % 2;
            *edge = ((*edge - self.origin[axis]) / self.scale[axis]).clamp(0.0, limits[axis]);
        }
        made
    }
}

#[cfg(test)]
mod tests {
    use drydock_contract::{Crop, Preprocessing, Resize};

    use crate::Images;

    /// A mark in the image is found in the input, and where it is there leads back to it.
    #[test]
    #[expect(clippy::float_cmp, reason = "whole numbers")]
    fn there_and_back() {
        let (width, height) = (40, 20);
        let mark = image::GrayImage::from_fn(width, height, |x, y| {
            image::Luma([if (8..16).contains(&x) && (4..12).contains(&y) { 255 } else { 0 }])
        });
        let mut file = std::io::Cursor::new(Vec::new());
        mark.write_to(&mut file, image::ImageFormat::Png).unwrap();
        let resize = |width, height, letterbox| {
            Some(Resize { width: Some(width), height: Some(height), letterbox, ..Resize::default() })
        };
        let crop = Some(Crop { width: 24, height: 16 });
        for (resize, crop, shape, expected) in [
            (None, None, [1, 20, 40], [8.0, 4.0, 16.0, 12.0]),
            (resize(80, 80, None), None, [1, 80, 80], [16.0, 16.0, 32.0, 48.0]),
            (resize(80, 80, Some(0)), None, [1, 80, 80], [16.0, 28.0, 32.0, 44.0]),
            (resize(80, 41, Some(0)), None, [1, 41, 80], [16.0, 8.0, 32.0, 24.0]),
            (resize(81, 40, Some(0)), None, [1, 40, 81], [16.0, 8.0, 32.0, 24.0]),
            (None, crop, [1, 16, 24], [0.0, 2.0, 8.0, 10.0]),
        ] {
            let preprocessing = Preprocessing { scale: 1.0, resize, crop, ..Preprocessing::default() };
            let made = Images::new(&preprocessing, &shape).unwrap().tensor(file.get_ref()).unwrap();
            let columns = shape[2] as usize;
            let bright: Vec<usize> = (0..made.data.len()).filter(|i| made.data[*i] > 127.0).collect();
            let (xs, ys) = (bright.iter().map(|i| i % columns), bright.iter().map(|i| i / columns));
            let found = [xs.clone().min(), ys.clone().min(), xs.max().map(|x| x + 1), ys.max().map(|y| y + 1)];
            let found = found.map(|edge| edge.unwrap() as f64);
            assert_eq!(found, expected, "{shape:?}");
            assert_eq!(made.placement.to_image(found), [8.0, 4.0, 16.0, 12.0], "{shape:?}");
            assert_eq!(made.placement.to_image([-9e9, -9e9, 9e9, 9e9]), [0.0, 0.0, 40.0, 20.0]);
        }
    }
}
