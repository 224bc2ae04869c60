//! Training images: in memory, shuffled, moved and mirrored, always in the same way for the same seed.

use super::error::TrainError;
use crate::dataset::Dataset;

/// What the images may take of memory.
const MAX_BYTES: usize = 2 << 30;

/// Images in memory, with labels or without.
#[derive(Clone, Debug)]
pub struct Samples {
    /// Of one image.
    shape: Vec<usize>,
    x: Vec<f32>,
    labels: Option<Vec<u32>>,
}

impl Samples {
    /// `x` holds images of `shape` one after another, in ONNX's order.
    ///
    /// # Errors
    /// No image, or as many values or labels as fit no number of images.
    pub fn new(shape: &[usize], x: Vec<f32>, labels: Option<Vec<u32>>) -> Result<Self, TrainError> {
        let size: usize = shape.iter().product();
        let count = x.len().checked_div(size).unwrap_or(0);
        if count == 0 || count * size != x.len() || labels.as_ref().is_some_and(|l| l.len() != count) {
            let labels = labels.as_ref().map(Vec::len);
            return Err(TrainError::Options(format!(
                "{} values and {labels:?} labels for images of shape {shape:?}; expected whole images, one label each",
                x.len()
            )));
        }
        Ok(Self { shape: shape.to_vec(), x, labels })
    }

    /// Reads the first images, as many as fit in 2 GiB; labels, below `classes`, where they are wanted.
    pub fn read(data: &Dataset, classes: Option<usize>) -> Result<Self, TrainError> {
        let shape: Vec<usize> = data.item_shape().iter().map(|d| *d as usize).collect();
        let size: usize = shape.iter().product();
        let count = data.len().min(MAX_BYTES / (size_of::<f32>() * size.max(1)));
        let mut x = Vec::with_capacity(count * size);
        data.batches(count, 64, |batch| {
            x.extend_from_slice(&batch.data[..batch.count * size]);
            Ok::<(), TrainError>(())
        })?;
        let labels = classes.map(|classes| data.labels(classes)).transpose()?;
        let labels = labels.map(|mut labels| {
            labels.truncate(count);
            labels
        });
        Self::new(&shape, x, labels)
    }

    pub fn len(&self) -> usize {
        self.x.len() / self.shape.iter().product::<usize>()
    }

    pub fn is_empty(&self) -> bool {
        self.x.is_empty()
    }

    pub fn labels(&self) -> Option<&[u32]> {
        self.labels.as_deref()
    }

    fn image(&self, i: usize) -> &[f32] {
        let size: usize = self.shape.iter().product();
        &self.x[i * size..(i + 1) * size]
    }
}

/// How an image may be changed each time that it is seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Augment {
    /// At most so many pixels in each direction; what comes in at the edge repeats the edge.
    pub shift: usize,
    /// Left and right are exchanged, every other time.
    pub flip: bool,
}

/// Hands out batches without end: each image once, then all again in another order.
#[derive(Debug)]
pub(super) struct Sampler<'s> {
    samples: &'s Samples,
    augment: Augment,
    random: fastrand::Rng,
    order: Vec<usize>,
    next: usize,
}

/// One batch in ONNX's order.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) shape: Vec<i64>,
    pub(super) x: Vec<f32>,
    pub(super) labels: Vec<u32>,
}

impl<'s> Sampler<'s> {
    pub(super) fn new(samples: &'s Samples, augment: Augment, seed: u64) -> Self {
        let order = (0..samples.len()).collect();
        Self { samples, augment, random: fastrand::Rng::with_seed(seed), order, next: usize::MAX }
    }

    pub(super) fn fill(&mut self, size: usize, batch: &mut Batch) {
        batch.shape = std::iter::once(size).chain(self.samples.shape.iter().copied()).map(|d| d as i64).collect();
        batch.x.clear();
        batch.labels.clear();
        for _ in 0..size {
            if self.next >= self.order.len() {
                self.random.shuffle(&mut self.order);
                self.next = 0;
            }
            let i = self.order[self.next];
            self.next += 1;
            batch.labels.extend(self.samples.labels.as_ref().map(|l| l[i]));
            let image = self.samples.image(i);
            let [.., h, w] = self.samples.shape.as_slice() else {
                batch.x.extend_from_slice(image);
                continue;
            };
            let reach = self.augment.shift as i64;
            let mut by = || if reach == 0 { 0 } else { self.random.i64(-reach..=reach) };
            let (dy, dx) = (by(), by());
            let flip = self.augment.flip && self.random.bool();
            moved(image, *h, *w, dy, dx, flip, &mut batch.x);
        }
    }
}

fn moved(image: &[f32], h: usize, w: usize, dy: i64, dx: i64, flip: bool, out: &mut Vec<f32>) {
    if (dy, dx, flip) == (0, 0, false) {
        out.extend_from_slice(image);
        return;
    }
    let clamp = |at: i64, len: usize| at.clamp(0, len as i64 - 1) as usize;
    for plane in image.chunks((h * w).max(1)) {
        for y in 0..h {
            let row = &plane[clamp(y as i64 + dy, h) * w..][..w];
            out.extend((0..w).map(|x| {
                let x = if flip { w - 1 - x } else { x };
                row[clamp(x as i64 + dx, w)]
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_once_then_again_in_another_order() {
        let samples = Samples::new(&[1], (0..8_u8).map(f32::from).collect(), Some((0..8).collect())).unwrap();
        let mut sampler = Sampler::new(&samples, Augment::default(), 1);
        let mut batch = Batch::default();
        let mut seen = Vec::new();
        for _ in 0..4 {
            sampler.fill(4, &mut batch);
            assert!(batch.x.iter().zip(&batch.labels).all(|(x, l)| *x as u32 == *l), "labels follow images");
            seen.extend_from_slice(&batch.labels);
        }
        let sorted = |part: &[u32]| {
            let mut part = part.to_vec();
            part.sort_unstable();
            part
        };
        assert_eq!(sorted(&seen[..8]), (0..8).collect::<Vec<_>>());
        assert_eq!(sorted(&seen[8..]), (0..8).collect::<Vec<_>>());
        assert_ne!(seen[..8], seen[8..]);
    }

    #[test]
    fn images_move_over_their_edges() {
        let image = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let made = |dy, dx, flip| {
            let mut out = Vec::new();
            moved(&image, 2, 3, dy, dx, flip, &mut out);
            out
        };
        assert_eq!(made(0, 1, false), [2.0, 3.0, 3.0, 5.0, 6.0, 6.0]);
        assert_eq!(made(-1, 0, false), [1.0, 2.0, 3.0, 1.0, 2.0, 3.0]);
        assert_eq!(made(0, 0, true), [3.0, 2.0, 1.0, 6.0, 5.0, 4.0]);
    }

    #[test]
    fn what_is_no_image_is_refused() {
        assert!(Samples::new(&[2], vec![0.0; 3], None).is_err());
        assert!(Samples::new(&[2], vec![], None).is_err());
        assert!(Samples::new(&[0], vec![], None).is_err());
        assert!(Samples::new(&[2], vec![0.0; 4], Some(vec![1])).is_err());
    }
}
