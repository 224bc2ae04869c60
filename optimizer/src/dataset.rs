//! Labelled inputs in many formats (docs/datasets.md), told apart by content and read as a stream.
//!
//! ```text
//!  Opened ─▶ Format ─▶ Rows: an encoded image ─▶ Images ─────┐
//!  file or   .npz, .npy,     or raw elements ──▶ Normalizer ─┴▶ Batch
//!  folder    images, Parquet
//! ```

mod arrays;
mod coco;
mod element;
mod error;
mod format;
mod images;
mod kind;
mod labels;
mod layout;
mod marks;
mod npy;
mod npz;
mod opened;
mod overlap;
mod parquet;
mod part;
mod table;
mod tar;
mod tree;
mod webdataset;

use std::path::Path;

use drydock_contract::{Datatype, Preprocessing, TensorSignature};
use drydock_preprocessing::{Images, Normalizer, Placement};

use element::Element;
pub use error::DatasetError;
use format::{Format, Inputs, Rows};
use marks::Marks;
pub use opened::{OpenError, Opened};
pub use overlap::Overlap;

use crate::evaluate::Truth;
use crate::interrupt;

/// Bytes of input that one batch may have.
const BATCH_BYTES: usize = 4 << 20;
/// What a model's fixed batch may ask for: 1 GiB of float32.
const MAX_BATCH_ELEMENTS: usize = 1 << 28;

/// Inputs, checked against the model that is to read them.
#[derive(Debug)]
pub struct Dataset {
    opened: Opened,
    format: Format,
    len: usize,
    /// Of the model's input, without the batch.
    item: Vec<i64>,
    /// The only batch size that the model takes, if it takes one only.
    fixed_batch: Option<usize>,
    convert: Convert,
    /// Class names in the order of the model's output, where they are known.
    classes: Vec<String>,
}

/// What makes an input of an item.
#[derive(Debug)]
enum Convert {
    Bytes(Normalizer),
    Floats(Normalizer),
    Images(Images),
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
    /// Where each image is in its input; empty where the data is no images.
    pub placements: &'d [Placement],
}

impl Dataset {
    /// [`Dataset::of`] what lies at a path that nobody else writes to.
    pub fn open(path: &Path, inputs: &[TensorSignature], preprocessing: &Preprocessing) -> Result<Self, DatasetError> {
        let failed = |e: std::io::Error| DatasetError::Read {
            path: path.to_owned(),
            problem: e.to_string(),
            expected: error::FORMATS,
        };
        let opened = Opened::open(path).map_err(|e| match e {
            OpenError::Io(e) => failed(e),
            OpenError::Data(e) => e,
        })?;
        Self::of(&opened, inputs, preprocessing)
    }

    /// Finds the format, and compares what the headers or the first image say with the model's only input.
    ///
    /// # Errors
    /// [`DatasetError`] names the file, what was found and what was expected.
    pub fn of(
        opened: &Opened,
        inputs: &[TensorSignature],
        preprocessing: &Preprocessing,
    ) -> Result<Self, DatasetError> {
        unchanged(opened, Self::check(opened, inputs, preprocessing))
    }

    /// Class names in the order of the model's output: what the set calls by these names gets their numbers.
    #[must_use]
    pub fn with_classes(mut self, names: &[String]) -> Self {
        self.classes = names.to_vec();
        self
    }

    fn check(opened: &Opened, inputs: &[TensorSignature], preprocessing: &Preprocessing) -> Result<Self, DatasetError> {
        let fail =
            |found: String, expected: String| DatasetError::Shape { path: opened.path().to_owned(), found, expected };
        let [input] = inputs else {
            return Err(fail(format!("{} model inputs", inputs.len()), "a model with one input, for `x`".into()));
        };
        if input.datatype != Datatype::Fp32 || input.shape.is_empty() {
            let expected = "a model whose input is FP32 with a batch dimension first".into();
            return Err(fail(format!("model input {:?}: {} {:?}", input.name, input.datatype, input.shape), expected));
        }
        let format = Format::of(opened)?;
        let (len, item, convert) = items(opened, &format, &input.shape[1..], preprocessing)?;
        let fixed_batch = usize::try_from(input.shape[0]).ok().filter(|n| *n > 0);
        let elements = item.iter().product::<i64>() as usize;
        if fixed_batch.is_some_and(|n| n.saturating_mul(elements) > MAX_BATCH_ELEMENTS) {
            let found = format!("a model of batch size {} only", input.shape[0]);
            return Err(fail(found, format!("one whose batch has at most {MAX_BATCH_ELEMENTS} values")));
        }
        let opened = opened.clone();
        Ok(Self { opened, format, len, item, fixed_batch, convert, classes: Vec::new() })
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
        self.opened.path()
    }

    /// How an input is called: the name of its file, or its row.
    pub fn name(&self, index: usize) -> String {
        self.format.name(index)
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
        let read = self.format.pass(|rows| self.read(rows, limit, batch, f));
        self.unchanged(read)
    }

    fn read<E: From<DatasetError>>(
        &self,
        rows: &mut dyn Rows,
        limit: usize,
        batch: usize,
        mut f: impl FnMut(Batch<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let elements = self.item.iter().product::<i64>() as usize;
        let most = self.fixed_batch.unwrap_or((BATCH_BYTES / (elements * size_of::<f32>())).clamp(1, batch.max(1)));
        let limit = limit.min(self.len);
        let mut data = vec![0.0; most * elements];
        let mut placements = Vec::with_capacity(most);
        let mut shape: Vec<i64> = std::iter::once(0).chain(self.item.iter().copied()).collect();

        let mut start = 0;
        while start < limit {
            interrupt::check().map_err(DatasetError::from)?;
            let count = most.min(limit - start);
            placements.clear();
            for (row, out) in data[..count * elements].chunks_mut(elements).enumerate() {
                placements.extend(self.convert(rows.next()?, start + row, out)?);
            }
            let filled = if self.fixed_batch.is_some() { most } else { count };
            for row in count..filled {
                data.copy_within((count - 1) * elements..count * elements, row * elements);
            }
            shape[0] = filled as i64;
            f(Batch { shape: &shape, data: &data[..filled * elements], start, count, placements: &placements })?;
            start += count;
        }
        Ok(())
    }

    fn convert(&self, raw: &[u8], index: usize, out: &mut [f32]) -> Result<Option<Placement>, DatasetError> {
        let path = || self.path().to_owned();
        match &self.convert {
            Convert::Bytes(normalizer) => normalizer.bytes(raw, out),
            Convert::Floats(normalizer) => {
                normalizer.floats(raw, out);
                if out.iter().any(|v| !v.is_finite()) {
                    return Err(DatasetError::NotFinite { path: path(), row: index });
                }
            }
            Convert::Images(images) => {
                let made = images.tensor(raw).map_err(|problem| DatasetError::Image {
                    path: path(),
                    entry: self.name(index),
                    problem,
                })?;
                if made.shape != self.item {
                    let found = format!("an input of shape ({})", join(&made.shape));
                    let expected = format!("({}), as of {}, or preprocessing.resize", join(&self.item), self.name(0));
                    let problem = format!("found {found}; expected {expected}");
                    return Err(DatasetError::entry(self.path(), &self.name(index), problem));
                }
                let declared = self.format.marks().and_then(|m| m.sizes.get(index).copied().flatten());
                let found = made.placement.image;
                if let Some((width, height)) = declared.filter(|declared| *declared != found) {
                    let problem = format!(
                        "found an image of {} x {} pixels (width x height); expected {width} x {height}, as its boxes are for",
                        found.0, found.1
                    );
                    return Err(DatasetError::entry(self.path(), &self.name(index), problem));
                }
                out.copy_from_slice(&made.data);
                return Ok(Some(made.placement));
            }
        }
        Ok(None)
    }

    /// # Errors
    /// There are no labels. Whether they fit is known with the model's classes.
    pub fn require_labels(&self) -> Result<(), DatasetError> {
        let found = self.unchanged(self.format.has_labels())?;
        if found { Ok(()) } else { Err(self.no_labels()) }
    }

    /// # Errors
    /// There are no boxes. Whether they fit is known with the model's classes.
    pub fn require_boxes(&self) -> Result<(), DatasetError> {
        let expected = "the JSON of COCO beside the images";
        let missing = || DatasetError::NoBoxes { path: self.path().to_owned(), expected };
        self.format.marks().map(|_| ()).ok_or_else(missing)
    }

    fn unchanged<T, E: From<DatasetError>>(&self, result: Result<T, E>) -> Result<T, E> {
        let intact = self.format.is_unchanged();
        let result = if intact { result } else { Err(DatasetError::Changed { path: self.path().to_owned() }.into()) };
        unchanged(&self.opened, result)
    }

    fn no_labels(&self) -> DatasetError {
        DatasetError::NoLabels { path: self.path().to_owned(), expected: self.format.expected_labels() }
    }

    /// Names of the classes that are in this set, sorted, or of its categories in their order; none where they are numbers.
    pub fn class_names(&self) -> Result<Vec<String>, DatasetError> {
        if let Some(marks) = self.format.marks() {
            return Ok(marks.categories.clone());
        }
        let labels = self.unchanged(self.format.labels(self.len))?;
        Ok(labels.map(|l| l.names().to_vec()).unwrap_or_default())
    }

    /// The objects of each image; `None` where none are marked. `classes`: how many the model has, where it is known.
    ///
    /// # Errors
    /// A category that the model does not have, or none that is known of it; no object at all.
    pub fn boxes(&self, classes: Option<usize>) -> Result<Option<Vec<Vec<Truth>>>, DatasetError> {
        let resolve = |marks: &Marks| marks.resolve(self.path(), &self.classes, classes, |i| self.name(i));
        self.format.marks().map(resolve).transpose()
    }

    /// The labels, each below `classes`.
    ///
    /// # Errors
    /// There are none, or not as many as inputs; no class numbers; a class that the model does not have.
    pub fn labels(&self, classes: usize) -> Result<Vec<u32>, DatasetError> {
        let labels = self.unchanged(self.format.labels(self.len))?;
        let labels = labels.ok_or_else(|| self.no_labels())?;
        labels.resolve(self.path(), &self.classes, classes, |i| self.name(i))
    }
}

/// How many items there are, the shape of one of them as the model takes it, and what makes it of the item.
fn items(
    opened: &Opened,
    format: &Format,
    input: &[i64],
    preprocessing: &Preprocessing,
) -> Result<(usize, Vec<i64>, Convert), DatasetError> {
    let path = || opened.path().to_owned();
    let expected = || format!("(N, {})", join(input));
    let fail = |shape: &[i64], expected: String| {
        let found = format!("`x` of shape ({})", join(shape));
        Err(DatasetError::Shape { path: path(), found, expected })
    };
    let (shape, element, flat) = match format.inputs()? {
        Inputs::Array { shape, element, flat } => (shape, element, flat),
        Inputs::Images { len: 0 } => return fail(&[0], format!("{}, not empty", expected())),
        Inputs::Images { len } => {
            let images = Images::new(preprocessing, input)
                .map_err(|problem| DatasetError::Preprocessing { path: path(), problem })?;
            let first = format.pass(|rows| {
                images.tensor(rows.next()?).map_err(|problem| DatasetError::Image {
                    path: path(),
                    entry: format.name(0),
                    problem,
                })
            })?;
            return Ok((len, first.shape, Convert::Images(images)));
        }
    };
    if shape.is_empty() || shape.contains(&0) {
        return fail(&shape, format!("{}, not empty", expected()));
    }
    let item = if flat { fit_flat(shape[1], input) } else { fit(&shape[1..], input) };
    let Some(item) = item else { return fail(&shape, expected()) };
    let normalizer = Normalizer::new(preprocessing, &item)
        .map_err(|problem| DatasetError::Preprocessing { path: path(), problem })?;
    let convert = match element {
        Element::U8 => Convert::Bytes(normalizer),
        Element::F32 => Convert::Floats(normalizer),
        other => return Err(DatasetError::element(opened.path(), "x", &format!("{other:?}"))),
    };
    Ok((shape[0] as usize, item, convert))
}

/// What was made of the source, unless it is no longer what was opened: that explains whatever came of it.
fn unchanged<T, E: From<DatasetError>>(opened: &Opened, result: Result<T, E>) -> Result<T, E> {
    if opened.is_unchanged() { result } else { Err(DatasetError::Changed { path: opened.path().to_owned() }.into()) }
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

/// The same for `numbers` in a row, whose dimensions the model's input alone tells.
fn fit_flat(numbers: i64, expected: &[i64]) -> Option<Vec<i64>> {
    match expected {
        [-1] => Some(vec![numbers]),
        _ => {
            (expected.iter().all(|d| *d > 0) && expected.iter().product::<i64>() == numbers).then(|| expected.to_vec())
        }
    }
}

fn join(shape: &[i64]) -> String {
    let dims: Vec<String> = shape.iter().map(|d| if *d < 0 { "?".into() } else { d.to_string() }).collect();
    dims.join(", ")
}

#[cfg(test)]
mod tests;
