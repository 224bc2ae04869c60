use std::io::BufReader;

use zip::ZipArchive;
use zip::result::ZipError;

use super::DatasetError;
use super::npy::{Array, unreadable};
use crate::file::SharedFile;

/// Opens one array of an `.npz` file for `f`.
pub(super) fn with<T, E: From<DatasetError>>(
    file: &SharedFile,
    name: &str,
    f: impl FnOnce(Array<'_>) -> Result<T, E>,
) -> Result<T, E> {
    let fail = |e: ZipError| unreadable(file.path(), e);
    let mut zip = ZipArchive::new(BufReader::new(file.reader())).map_err(fail)?;
    let entry = zip.by_name(&format!("{name}.npy")).map_err(|e| match e {
        ZipError::FileNotFound => DatasetError::Missing { path: file.path().to_owned(), array: name.to_owned() },
        e => fail(e),
    })?;
    f(Array::new(file.path(), name, entry)?)
}
