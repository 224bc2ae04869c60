use std::io::Read;
use std::path::{Path, PathBuf};

use npyz::{DType, NpyFile, Order};

use super::DatasetError;
use super::element::Element;
use super::format::Rows;

/// What NumPy arrays lie in.
const EXPECTED: &str = "an .npz file that numpy.savez wrote, or an .npy file that numpy.save wrote";

/// One array, read from its beginning on.
pub(super) struct Array<'a> {
    path: PathBuf,
    name: &'a str,
    reader: Box<dyn Read + 'a>,
    shape: Vec<i64>,
    element: Element,
    buffer: Vec<u8>,
}

/// An array, one row of its first dimension after another.
pub(super) struct ArrayRows<'a> {
    pub(super) array: Array<'a>,
    pub(super) elements: usize,
}

impl Rows for ArrayRows<'_> {
    fn next(&mut self) -> Result<&[u8], DatasetError> {
        self.array.read(self.elements)
    }
}

pub(super) fn unreadable(path: &Path, problem: impl std::fmt::Display) -> DatasetError {
    DatasetError::Read { path: path.to_owned(), problem: problem.to_string(), expected: EXPECTED }
}

impl<'a> Array<'a> {
    /// Reads the header of an `.npy` file. `name` is for messages.
    pub(super) fn new(path: &Path, name: &'a str, reader: impl Read + 'a) -> Result<Self, DatasetError> {
        let fail = |problem: String| unreadable(path, problem);
        let npy = NpyFile::new(reader).map_err(|e| fail(format!("array `{name}`: {e}")))?;
        let described = match npy.dtype() {
            DType::Plain(t) => t.to_string(),
            _ => "a structure".to_owned(),
        };
        let order_matters = npy.shape().len() > 1 && npy.order() == Order::Fortran;
        let element = Element::parse(&described).filter(|_| !order_matters).ok_or_else(|| {
            let order = if order_matters { " in Fortran order" } else { "" };
            DatasetError::element(path, name, &format!("{described}{order}"))
        })?;
        let shape: Option<Vec<i64>> = npy.shape().iter().map(|d| i64::try_from(*d).ok()).collect();
        // One row must be addressable; how many rows there are costs nothing.
        let shape = shape
            .filter(|s| s.iter().skip(1).try_fold(1_i64, |n, d| n.checked_mul(*d)).is_some_and(|n| n < 1 << 30))
            .ok_or_else(|| fail(format!("array `{name}` has shape {:?}, over the limit", npy.shape())))?;
        let path = path.to_owned();
        Ok(Self { path, name, reader: Box::new(npy.into_inner()), shape, element, buffer: Vec::new() })
    }

    pub(super) fn shape(&self) -> &[i64] {
        &self.shape
    }

    pub(super) fn element(&self) -> Element {
        self.element
    }

    /// The next `count` elements, as they lie in the file.
    pub(super) fn read(&mut self, count: usize) -> Result<&[u8], DatasetError> {
        let wanted = count * self.element.width();
        self.buffer.clear();
        // Grows with what is there, not with what the header claims.
        let read = (&mut self.reader).take(wanted as u64).read_to_end(&mut self.buffer);
        match read {
            Ok(n) if n == wanted => Ok(&self.buffer),
            Ok(n) => Err(self.fail(&format!("{n} of {wanted} bytes: it is truncated"))),
            Err(e) => Err(self.fail(&e.to_string())),
        }
    }

    fn fail(&self, problem: &str) -> DatasetError {
        unreadable(&self.path, format!("array `{}`: {problem}", self.name))
    }
}
