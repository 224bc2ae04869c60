use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use drydock_contract::{CONFUSION_FILE, MANIFEST_FILE, PackageManifest, REPORT_FILE, STUDY_FILE};
use serde::de::DeserializeOwned;

use super::{Gates, Page, Study, render};
use crate::evaluate::Confusion;
use crate::store::{Staged, StoreError};

/// A package's files, but for the model.
#[derive(Clone, Debug)]
pub struct Package {
    pub manifest: PackageManifest,
    pub confusion: Option<Confusion>,
    pub study: Study,
}

/// Why a directory is no package.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}; expected a file of a package that this program wrote", path.display())]
pub struct PackageError {
    path: PathBuf,
    problem: String,
}

impl Package {
    /// # Errors
    /// No manifest in the directory, or a file that does not say what it should.
    pub fn read(directory: &Path) -> Result<Self, PackageError> {
        let path = directory.join(MANIFEST_FILE);
        let manifest = read_json(&path)?;
        Ok(Self {
            manifest: manifest.ok_or_else(|| PackageError { path, problem: "there is no such file".into() })?,
            confusion: read_json(&directory.join(CONFUSION_FILE))?,
            // Packages of the first version have none.
            study: read_json(&directory.join(STUDY_FILE))?.unwrap_or_default(),
        })
    }
}

/// `None` if there is none.
fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, PackageError> {
    let fail = |problem: String| PackageError { path: path.to_owned(), problem };
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|e| fail(e.to_string())),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(fail(e.to_string())),
    }
}

/// Adds what people read to a package that is about to be published.
pub fn attach(staged: &mut Staged, package: &Package) -> Result<(), StoreError> {
    if let Some(confusion) = &package.confusion {
        staged.attach_json(CONFUSION_FILE, confusion)?;
    }
    staged.attach_json(STUDY_FILE, &package.study)?;
    let page = Page { package, others: &[], gates: &Gates::default() };
    staged.attach(REPORT_FILE, render(&page).as_bytes())
}
