use std::path::{Path, PathBuf};

use crate::interrupt::Interrupted;

/// Why a data set cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    #[error("cannot read {}: {problem}; expected an .npz file that numpy.savez wrote", path.display())]
    Read { path: PathBuf, problem: String },
    #[error("{} has no array `{array}`; expected `x` (inputs) and, for labels, `y`", path.display())]
    Missing { path: PathBuf, array: String },
    #[error("{}: found {found}; expected {expected}", path.display())]
    Shape { path: PathBuf, found: String, expected: String },
    #[error("{}: `{array}` is {found}; expected {expected}", path.display())]
    Element { path: PathBuf, array: String, found: String, expected: &'static str },
    #[error("{}: row {row} of `x` holds NaN or infinity after pre-processing", path.display())]
    NotFinite { path: PathBuf, row: usize },
    #[error("{} was written to while it was read; expected it to stay as it is for the length of a run", path.display())]
    Changed { path: PathBuf },
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    #[error("{} has no labels; expected {expected}", path.display())]
    NoLabels { path: PathBuf, expected: &'static str },
    #[error("{}: all {images} labels are {class}; expected several classes, or the accuracy says nothing", path.display())]
    OneClass { path: PathBuf, class: u32, images: usize },
    #[error("{}: label {label} of row {row}; the model has classes 0 to {}", path.display(), classes.saturating_sub(1))]
    Label { path: PathBuf, row: usize, label: i64, classes: usize },
}

impl DatasetError {
    pub(super) fn element(path: &Path, array: &str, found: &str) -> Self {
        let expected = if array == "y" { "integers" } else { "uint8 or little-endian float32, in C order" };
        Self::Element { path: path.to_owned(), array: array.to_owned(), found: found.to_owned(), expected }
    }
}
