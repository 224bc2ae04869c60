//! Labelled inputs: an `.npz` with `x` (N, …; uint8 or float32) and `y` (N; integers), read as a stream.

mod error;
mod npz;
mod overlap;
mod preprocess;

use std::path::Path;

use drydock_contract::{Datatype, Preprocessing, TensorSignature};

pub use error::DatasetError;
use npz::{Array, Element};
pub use overlap::Overlap;
use preprocess::Normalizer;

use crate::file::SharedFile;
use crate::interrupt;

/// Bytes of input that one batch may have.
const BATCH_BYTES: usize = 4 << 20;
/// What a model's fixed batch may ask for: 1 GiB of float32.
const MAX_BATCH_ELEMENTS: usize = 1 << 28;
/// A label file beyond this is not one.
const MAX_LABELS: u64 = 100_000_000;

/// One file of inputs, checked against the model that is to read it.
#[derive(Debug)]
pub struct Dataset {
    file: SharedFile,
    len: usize,
    /// Of the model's input, without the batch.
    item: Vec<i64>,
    /// The only batch size that the model takes, if it takes one only.
    fixed_batch: Option<usize>,
    element: Element,
    normalizer: Normalizer,
}

/// Some consecutive inputs, as the model takes them.
#[derive(Debug)]
pub struct Batch<'d> {
    /// Of the data; its first dimension may be more than `count`, where the model takes one batch size only: the last
    /// input is then repeated.
    pub shape: &'d [i64],
    pub data: &'d [f32],
    pub start: usize,
    pub count: usize,
}

impl Dataset {
    /// [`Dataset::of`] a file that nobody else writes to.
    pub fn open(path: &Path, inputs: &[TensorSignature], preprocessing: &Preprocessing) -> Result<Self, DatasetError> {
        let failed = |e: std::io::Error| DatasetError::Read { path: path.to_owned(), problem: e.to_string() };
        Self::of(&SharedFile::open(path).map_err(failed)?, inputs, preprocessing)
    }

    /// Reads the headers of the file and compares them with the model's only input.
    ///
    /// # Errors
    /// [`DatasetError`] names the file, what was found and what was expected.
    pub fn of(
        file: &SharedFile,
        inputs: &[TensorSignature],
        preprocessing: &Preprocessing,
    ) -> Result<Self, DatasetError> {
        unchanged(file, Self::check(file, inputs, preprocessing))
    }

    fn check(
        file: &SharedFile,
        inputs: &[TensorSignature],
        preprocessing: &Preprocessing,
    ) -> Result<Self, DatasetError> {
        let fail =
            |found: String, expected: String| DatasetError::Shape { path: file.path().to_owned(), found, expected };
        let [input] = inputs else {
            return Err(fail(format!("{} model inputs", inputs.len()), "a model with one input, for `x`".into()));
        };
        if input.datatype != Datatype::Fp32 || input.shape.is_empty() {
            let expected = "a model whose input is FP32 with a batch dimension first".into();
            return Err(fail(format!("model input {:?}: {} {:?}", input.name, input.datatype, input.shape), expected));
        }
        let (shape, element) = npz::header(file, "x")?;
        let expected = || format!("(N, {})", join(&input.shape[1..]));
        let len = shape.first().copied().unwrap_or(0) as usize;
        if shape.is_empty() || shape.contains(&0) {
            return Err(fail(format!("`x` of shape ({})", join(&shape)), format!("{}, not empty", expected())));
        }
        let item = fit(&shape[1..], &input.shape[1..])
            .ok_or_else(|| fail(format!("`x` of shape ({})", join(&shape)), expected()))?;
        let channels = if item.len() >= 2 { item[0] } else { 1 };
        let normalizer = Normalizer::new(preprocessing, channels as usize)
            .map_err(|found| fail(found, format!("one value, or {channels}: one for each channel")))?;
        let fixed_batch = usize::try_from(input.shape[0]).ok().filter(|n| *n > 0);
        let elements = item.iter().product::<i64>() as usize;
        if fixed_batch.is_some_and(|n| n.saturating_mul(elements) > MAX_BATCH_ELEMENTS) {
            let found = format!("a model of batch size {} only", input.shape[0]);
            return Err(fail(found, format!("one whose batch has at most {MAX_BATCH_ELEMENTS} values")));
        }
        Ok(Self { file: file.clone(), len, item, fixed_batch, element, normalizer })
    }

    /// Number of inputs.
    pub fn len(&self) -> usize {
        self.len
    }

    /// How many inputs to read where so many are asked for; 0: all.
    pub fn at_most(&self, images: u32) -> usize {
        if images == 0 { self.len } else { self.len.min(images as usize) }
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Shape of one input, without the batch.
    pub fn item_shape(&self) -> &[i64] {
        &self.item
    }

    /// Hands the first `limit` inputs to `f`, at most `batch` at a time, fewer where they are large.
    ///
    /// # Errors
    /// Those of `f`; a truncated file, or one that was written to; NaN or infinity in the data; a signal to end.
    pub fn batches<E: From<DatasetError>>(
        &self,
        limit: usize,
        batch: usize,
        f: impl FnMut(Batch<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        unchanged(&self.file, self.read(limit, batch, f))
    }

    fn read<E: From<DatasetError>>(
        &self,
        limit: usize,
        batch: usize,
        mut f: impl FnMut(Batch<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let elements = self.item.iter().product::<i64>() as usize;
        let rows = self.fixed_batch.unwrap_or((BATCH_BYTES / (elements * size_of::<f32>())).clamp(1, batch.max(1)));
        let limit = limit.min(self.len);
        let mut data = vec![0.0; rows * elements];
        let mut shape: Vec<i64> = std::iter::once(0).chain(self.item.iter().copied()).collect();

        let mut archive = npz::Archive::open(&self.file)?;
        let mut x = archive.array("x")?;
        let mut start = 0;
        while start < limit {
            interrupt::check().map_err(DatasetError::from)?;
            let count = rows.min(limit - start);
            self.read_rows(&mut x, &mut data[..count * elements], start)?;
            let filled = if self.fixed_batch.is_some() { rows } else { count };
            for row in count..filled {
                data.copy_within((count - 1) * elements..count * elements, row * elements);
            }
            shape[0] = filled as i64;
            f(Batch { shape: &shape, data: &data[..filled * elements], start, count })?;
            start += count;
        }
        Ok(())
    }

    fn read_rows(&self, x: &mut Array<'_>, data: &mut [f32], start: usize) -> Result<(), DatasetError> {
        let elements = data.len();
        let bytes = x.read(elements)?;
        match self.element {
            Element::U8 => self.normalizer.bytes(bytes, data, self.channel_size()),
            Element::F32 => {
                self.normalizer.floats(bytes, data, self.channel_size());
                if let Some(bad) = data.iter().position(|v| !v.is_finite()) {
                    let item = self.item.iter().product::<i64>() as usize;
                    return Err(DatasetError::NotFinite { path: self.path().to_owned(), row: start + bad / item });
                }
            }
            other => return Err(DatasetError::element(self.path(), "x", &format!("{other:?}"))),
        }
        Ok(())
    }

    fn channel_size(&self) -> usize {
        if self.item.len() >= 2 { self.item[1..].iter().product::<i64>() as usize } else { usize::MAX }
    }

    /// # Errors
    /// There are no labels. Whether they fit is known with the model's classes.
    pub fn require_labels(&self) -> Result<(), DatasetError> {
        unchanged(&self.file, self.label_header().map(drop))
    }

    fn label_header(&self) -> Result<(Vec<i64>, Element), DatasetError> {
        npz::header(&self.file, "y").map_err(|e| match e {
            DatasetError::Missing { path, .. } => {
                DatasetError::NoLabels { path, expected: "an array `y` of class numbers" }
            }
            other => other,
        })
    }

    /// The labels, each below `classes`.
    ///
    /// # Errors
    /// No `y`, not as many as inputs, not integers, a class that the model does not have.
    pub fn labels(&self, classes: usize) -> Result<Vec<u32>, DatasetError> {
        unchanged(&self.file, self.read_labels(classes))
    }

    fn read_labels(&self, classes: usize) -> Result<Vec<u32>, DatasetError> {
        let (shape, element) = self.label_header()?;
        if shape != [self.len as i64] || self.len as u64 > MAX_LABELS {
            return Err(DatasetError::Shape {
                path: self.path().to_owned(),
                found: format!("`y` of shape ({})", join(&shape)),
                expected: format!("({}), one label for each row of `x`", self.len),
            });
        }
        let width = element.width();
        let mut archive = npz::Archive::open(&self.file)?;
        let mut y = archive.array("y")?;
        let bytes = y.read(self.len)?;
        let labels = bytes.chunks_exact(width).enumerate().map(|(row, b)| {
            let label =
                element.integer(b).ok_or_else(|| DatasetError::element(self.path(), "y", &format!("{element:?}")))?;
            u32::try_from(label).ok().filter(|l| (*l as usize) < classes).ok_or_else(|| DatasetError::Label {
                path: self.path().to_owned(),
                row,
                label,
                classes,
            })
        });
        labels.collect()
    }
}

/// What was made of the file, unless it is no longer the file that was opened: that explains whatever came of it.
fn unchanged<T, E: From<DatasetError>>(file: &SharedFile, result: Result<T, E>) -> Result<T, E> {
    if file.is_unchanged() { result } else { Err(DatasetError::Changed { path: file.path().to_owned() }.into()) }
}

/// The shape of one input where `found` (from the data) can be taken for `expected` (from the model, -1 for any).
fn fit(found: &[i64], expected: &[i64]) -> Option<Vec<i64>> {
    let same = |a: &[i64]| a.len() == expected.len() && a.iter().zip(expected).all(|(f, e)| *e < 0 || f == e);
    if same(found) {
        return Some(found.to_vec());
    }
    // Grey images come without a channel axis.
    let with_channel: Vec<i64> = std::iter::once(1).chain(found.iter().copied()).collect();
    same(&with_channel).then_some(with_channel)
}

fn join(shape: &[i64]) -> String {
    let dims: Vec<String> = shape.iter().map(|d| if *d < 0 { "?".into() } else { d.to_string() }).collect();
    dims.join(", ")
}

#[cfg(test)]
mod tests;
