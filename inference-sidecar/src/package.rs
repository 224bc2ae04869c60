//! Reads a model package and proves that it is the one asked for.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use drydock_contract::{Digest, MANIFEST_FILE, MODEL_FILE, PackageManifest, SCHEMA};
use sha2::{Digest as _, Sha256};

#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    #[error("cannot read {}: {source}; check that the artifact store is mounted and holds this package", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is no package manifest: {source}; optimize the model again", path.display())]
    Manifest { path: PathBuf, source: serde_json::Error },
    #[error(
        "the package has schema {found}; this server reads schema {SCHEMA}: use a sidecar of the optimizer's version"
    )]
    Schema { found: u32 },
    #[error(
        "the package's content has digest {found}, but {whose} {expected}; the package was changed or mixed up: \
             optimize the model again"
    )]
    Digest { found: Digest, whose: &'static str, expected: Digest },
    #[error("{} has SHA-256 {found}, but its manifest says {expected}; the file was changed or not written to the end: \
             optimize the model again", path.display())]
    Model { path: PathBuf, found: Digest, expected: Digest },
}

/// A package whose manifest and model are what their digests say.
#[derive(Clone, Debug)]
pub struct Package {
    pub manifest: PackageManifest,
    pub model: PathBuf,
}

impl Package {
    pub fn open(directory: &Path, expected: &Digest) -> Result<Self, PackageError> {
        let path = directory.join(MANIFEST_FILE);
        let json = fs::read(&path).map_err(|source| PackageError::Read { path: path.clone(), source })?;
        let manifest: PackageManifest =
            serde_json::from_slice(&json).map_err(|source| PackageError::Manifest { path, source })?;
        if manifest.content.schema != SCHEMA {
            return Err(PackageError::Schema { found: manifest.content.schema });
        }
        let found = manifest.content.digest();
        if found != manifest.digest {
            return Err(PackageError::Digest { found, whose: "its manifest says", expected: manifest.digest });
        }
        if found != *expected {
            return Err(PackageError::Digest { found, whose: "this pod is to serve", expected: expected.clone() });
        }

        let model = directory.join(MODEL_FILE);
        let found = sha256(&model).map_err(|source| PackageError::Read { path: model.clone(), source })?;
        let expected = manifest.content.model.sha256.clone();
        if found != expected {
            return Err(PackageError::Model { path: model, found, expected });
        }
        Ok(Self { manifest, model })
    }
}

/// In pieces: a model may be larger than the memory that is left beside it.
fn sha256(path: &Path) -> io::Result<Digest> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut piece = vec![0; 1 << 20];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(Digest::from_hash(&hasher.finalize())),
            n => hasher.update(piece.get(..n).unwrap_or_default()),
        }
    }
}
