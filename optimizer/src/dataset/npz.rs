use std::io::{BufReader, Read};
use std::path::PathBuf;

use npyz::{DType, NpyFile, Order};
use zip::ZipArchive;
use zip::result::ZipError;

use super::DatasetError;
use crate::file::{Reader, SharedFile};

/// Element types that data sets come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    U8,
    U16,
    U32,
    U64,
    I8,
    I16,
    I32,
    I64,
    F32,
}

impl Element {
    /// From NumPy's type string, like `<f4`.
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "|u1" | "<u1" => Self::U8,
            "<u2" => Self::U16,
            "<u4" => Self::U32,
            "<u8" => Self::U64,
            "|i1" | "<i1" => Self::I8,
            "<i2" => Self::I16,
            "<i4" => Self::I32,
            "<i8" => Self::I64,
            "<f4" => Self::F32,
            _ => return None,
        })
    }

    pub(super) fn width(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 => 8,
        }
    }

    /// The little-endian integer; `None` for floats and for what an i64 does not hold.
    pub(super) fn integer(self, bytes: &[u8]) -> Option<i64> {
        let mut wide = [0; 8];
        wide.get_mut(..bytes.len())?.copy_from_slice(bytes);
        let value = u64::from_le_bytes(wide);
        match self {
            Self::U64 => i64::try_from(value).ok(),
            Self::I8 => Some(i64::from(value as u8 as i8)),
            Self::I16 => Some(i64::from(value as u16 as i16)),
            Self::I32 => Some(i64::from(value as u32 as i32)),
            Self::U8 | Self::U16 | Self::U32 | Self::I64 => Some(value as i64),
            Self::F32 => None,
        }
    }
}

/// An open `.npz` file.
pub(super) struct Archive {
    path: PathBuf,
    zip: ZipArchive<BufReader<Reader>>,
}

/// One array of it, read from its beginning on.
pub(super) struct Array<'a> {
    path: PathBuf,
    name: &'a str,
    reader: Box<dyn Read + 'a>,
    shape: Vec<i64>,
    element: Element,
    buffer: Vec<u8>,
}

/// Shape and element type of an array.
pub(super) fn header(file: &SharedFile, array: &str) -> Result<(Vec<i64>, Element), DatasetError> {
    let mut archive = Archive::open(file)?;
    let array = archive.array(array)?;
    Ok((array.shape, array.element))
}

impl Archive {
    pub(super) fn open(file: &SharedFile) -> Result<Self, DatasetError> {
        let path = file.path().to_owned();
        match ZipArchive::new(BufReader::new(file.reader())) {
            Ok(zip) => Ok(Self { path, zip }),
            Err(e) => Err(DatasetError::Read { path, problem: e.to_string() }),
        }
    }

    pub(super) fn array<'a>(&'a mut self, name: &'a str) -> Result<Array<'a>, DatasetError> {
        let path = self.path.clone();
        let fail = |problem: String| DatasetError::Read { path: path.clone(), problem };
        let entry = match self.zip.by_name(&format!("{name}.npy")) {
            Ok(entry) => entry,
            Err(ZipError::FileNotFound) => {
                return Err(DatasetError::Missing { path, array: name.to_owned() });
            }
            Err(e) => return Err(fail(e.to_string())),
        };
        let npy = NpyFile::new(entry).map_err(|e| fail(format!("array `{name}`: {e}")))?;
        let described = match npy.dtype() {
            DType::Plain(t) => t.to_string(),
            _ => "a structure".to_owned(),
        };
        let order_matters = npy.shape().len() > 1 && npy.order() == Order::Fortran;
        let element = Element::parse(&described).filter(|_| !order_matters).ok_or_else(|| {
            let order = if order_matters { " in Fortran order" } else { "" };
            DatasetError::element(&path, name, &format!("{described}{order}"))
        })?;
        let shape: Option<Vec<i64>> = npy.shape().iter().map(|d| i64::try_from(*d).ok()).collect();
        // One row must be addressable; how many rows there are costs nothing.
        let shape = shape
            .filter(|s| s.iter().skip(1).try_fold(1_i64, |n, d| n.checked_mul(*d)).is_some_and(|n| n < 1 << 30))
            .ok_or_else(|| fail(format!("array `{name}` has shape {:?}, over the limit", npy.shape())))?;
        Ok(Array { path, name, reader: Box::new(npy.into_inner()), shape, element, buffer: Vec::new() })
    }
}

impl Array<'_> {
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
        DatasetError::Read { path: self.path.clone(), problem: format!("array `{}`: {problem}", self.name) }
    }
}
