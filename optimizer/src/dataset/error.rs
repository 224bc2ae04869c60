use std::path::{Path, PathBuf};

use drydock_preprocessing::{ImageError, PreprocessingError};

use crate::folder::FolderError;
use crate::interrupt::Interrupted;

/// What a data set may be.
pub(super) const FORMATS: &str =
    "a directory or tar of images, CSV or COCO JSON beside its images, WebDataset tar, Parquet, .npz or .npy";

/// Why a data set cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    #[error("cannot read {}: {problem}; expected {expected}", path.display())]
    Read { path: PathBuf, problem: String, expected: &'static str },
    #[error("{}: {entry}: {problem}", path.display())]
    Entry { path: PathBuf, entry: String, problem: String },
    #[error("{}: {entry}: {problem}", path.display())]
    Image { path: PathBuf, entry: String, problem: ImageError },
    #[error("{}: {problem}", path.display())]
    Preprocessing { path: PathBuf, problem: PreprocessingError },
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
    #[error("{} has no boxes; expected {expected}", path.display())]
    NoBoxes { path: PathBuf, expected: &'static str },
    #[error("{}: none of {images} images has an object that is no crowd; expected some, or precision says nothing", path.display())]
    NoObjects { path: PathBuf, images: usize },
    #[error(
        "{}: the original finds next to none of {objects} objects; expected more, or precision says nothing: check labels, preprocessing, \
         detection.layout",
        path.display()
    )]
    NothingFound { path: PathBuf, objects: u64 },
    #[error(
        "{} has the categories {names}, and neither labels nor the outputs of the model say which classes it has; expected their names in \
         the order of its classes as the model's labels",
        path.display()
    )]
    NoClasses { path: PathBuf, names: String },
    #[error("{}: all {images} labels are {class}; expected several classes, or the accuracy says nothing", path.display())]
    OneClass { path: PathBuf, class: u32, images: usize },
    #[error("{}: label {label} of row {row}; the model has classes 0 to {}", path.display(), classes.saturating_sub(1))]
    Label { path: PathBuf, row: usize, label: i64, classes: usize },
    #[error("{}: class {name:?} of {entry}; expected one of the model's labels, {labels}", path.display())]
    UnknownClass { path: PathBuf, name: String, entry: String, labels: String },
    #[error(
        "{}: {found} class names, {names}, for a model of {classes} classes; expected as many, or the names of all classes in the \
         order of its output as the model's labels",
        path.display()
    )]
    ClassNames { path: PathBuf, found: usize, names: String, classes: usize },
}

impl DatasetError {
    pub(super) fn element(path: &Path, array: &str, found: &str) -> Self {
        let expected = if array == "y" { "integers" } else { "uint8 or little-endian float32, in C order" };
        Self::Element { path: path.to_owned(), array: array.to_owned(), found: found.to_owned(), expected }
    }

    pub(super) fn entry(path: &Path, entry: &str, problem: impl std::fmt::Display) -> Self {
        Self::Entry { path: path.to_owned(), entry: entry.to_owned(), problem: problem.to_string() }
    }
}

impl From<FolderError> for DatasetError {
    fn from(e: FolderError) -> Self {
        match e {
            FolderError::Read { path, problem } => {
                Self::Read { path, problem: problem.to_string(), expected: "a file that can be read" }
            }
            FolderError::Refused { path, found, expected } => {
                Self::Shape { path, found: found.into(), expected: expected.into() }
            }
            FolderError::Changed { path } => Self::Changed { path },
            FolderError::Interrupted(e) => Self::Interrupted(e),
        }
    }
}
