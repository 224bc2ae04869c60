use std::path::Path;

use super::format::{Inputs, Rows};
use super::labels::Labels;
use super::npy::{Array, ArrayRows, unreadable};
use super::part::Part;
use super::{DatasetError, join, npz};
use crate::file::SharedFile;

/// A label file beyond this is not one.
const MAX_LABELS: u64 = 100_000_000;

/// NumPy arrays: `x` of inputs and `y` of class numbers.
#[derive(Debug)]
pub(super) enum Arrays {
    Npz(SharedFile),
    Npy { x: Part, y: Option<Part> },
}

impl Arrays {
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Npz(file) => file.path(),
            Self::Npy { x, .. } => x.path(),
        }
    }

    fn x<T, E: From<DatasetError>>(&self, f: impl FnOnce(Array<'_>) -> Result<T, E>) -> Result<T, E> {
        match self {
            Self::Npz(file) => npz::with(file, "x", f),
            Self::Npy { x, .. } => npy(x, "x", f),
        }
    }

    fn y<T>(&self, f: impl FnOnce(Array<'_>) -> Result<T, DatasetError>) -> Result<Option<T>, DatasetError> {
        match self {
            Self::Npz(file) => match npz::with(file, "y", f) {
                Err(DatasetError::Missing { .. }) => Ok(None),
                other => other.map(Some),
            },
            Self::Npy { y, .. } => y.as_ref().map(|y| npy(y, "y", f)).transpose(),
        }
    }

    pub(super) fn inputs(&self) -> Result<Inputs, DatasetError> {
        self.x(|x| Ok(Inputs::Array { shape: x.shape().to_vec(), element: x.element(), flat: false }))
    }

    pub(super) fn pass<T, E: From<DatasetError>>(&self, f: impl FnOnce(&mut dyn Rows) -> Result<T, E>) -> Result<T, E> {
        self.x(|array| {
            let elements = array.shape().iter().skip(1).product::<i64>() as usize;
            f(&mut ArrayRows { array, elements })
        })
    }

    pub(super) fn has_labels(&self) -> Result<bool, DatasetError> {
        Ok(self.y(|_| Ok(()))?.is_some())
    }

    pub(super) fn labels(&self, len: usize) -> Result<Option<Labels>, DatasetError> {
        self.y(|mut y| {
            if y.shape() != [len as i64] || len as u64 > MAX_LABELS {
                return Err(DatasetError::Shape {
                    path: self.path().to_owned(),
                    found: format!("`y` of shape ({})", join(y.shape())),
                    expected: format!("({len}), one label for each row of `x`"),
                });
            }
            let element = y.element();
            let number = |bytes: &[u8]| {
                let fail = || DatasetError::element(self.path(), "y", &format!("{element:?}"));
                element.integer(bytes).ok_or_else(fail)
            };
            Ok(Labels::Numbers(y.read(len)?.chunks_exact(element.width()).map(number).collect::<Result<_, _>>()?))
        })
    }
}

fn npy<T, E: From<DatasetError>>(part: &Part, name: &str, f: impl FnOnce(Array<'_>) -> Result<T, E>) -> Result<T, E> {
    let reader = part.reader(0).map_err(|e| unreadable(part.path(), e))?;
    f(Array::new(part.path(), name, reader)?)
}
