//! Reads a model package and proves that it is the one asked for.

use std::fs::{self, File, Metadata};
use std::io::{self, Read as _, Seek as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::graph::Graph;
use drydock_contract::{Digest, MANIFEST_FILE, MODEL_FILE, PackageManifest, SCHEMA};
use sha2::{Digest as _, Sha256};

#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    #[error("cannot read {}: {source}; check that the artifact store is mounted and holds this package", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} has {found:?}; expected the digest of a package, sha256: and 64 digits", path.display())]
    DigestFile { path: PathBuf, found: String },
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
    #[error(
        "{} has weights in another file ({tensor:?}), which no digest covers; expected all in one: optimize the model again", path.display()
    )]
    External { path: PathBuf, tensor: String },
    #[error("{} was written to while it was being loaded; expected a package that nobody writes to: try again", path.display())]
    Changed { path: PathBuf },
}

/// A package whose manifest and model are what their digests say.
#[derive(Debug)]
pub struct Package {
    pub manifest: PackageManifest,
    pub model: OpenModel,
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

        let model = OpenModel::open(directory.join(MODEL_FILE), manifest.content.model.sha256.clone())?;
        Ok(Self { manifest, model })
    }
}

/// A model file that stays open: its name may lead to another one at any time.
#[derive(Debug)]
pub struct OpenModel {
    file: File,
    path: PathBuf,
    expected: Digest,
    /// What the file was like when its digest was right; `None` before that.
    proven: Mutex<Option<Stamp>>,
}

/// What the kernel changes whenever it lets somebody write. Nobody can set the time of the last change of an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(m: &Metadata) -> Self {
        Self { size: m.size(), modified: (m.mtime(), m.mtime_nsec()), changed: (m.ctime(), m.ctime_nsec()) }
    }
}

impl OpenModel {
    fn open(path: PathBuf, expected: Digest) -> Result<Self, PackageError> {
        let file = File::open(&path).map_err(|source| PackageError::Read { path: path.clone(), source })?;
        let model = Self { file, path, expected, proven: Mutex::default() };
        model.prove()?;
        Ok(model)
    }

    /// Gives `with` a path at which this process can open the very file that has the digest.
    ///
    /// # Errors
    /// The file has another digest by now, or somebody wrote to it while `with` was at work: then what it made is thrown away.
    pub fn read<T>(&self, with: impl FnOnce(&Path) -> T) -> Result<T, PackageError> {
        let before = self.prove()?;
        let made = with(Path::new(&format!("/proc/self/fd/{}", self.file.as_raw_fd())));
        if self.stamp()? == before { Ok(made) } else { Err(PackageError::Changed { path: self.path.clone() }) }
    }

    /// What tells how it will run.
    ///
    /// # Errors
    /// A part of it is in another file, or this one was written to. What is no model says nothing here: the engine has the words for that.
    pub(crate) fn graph(&self) -> Result<Graph, PackageError> {
        let graph = self.read(|path| File::open(path).and_then(Graph::read))?;
        let graph = graph.inspect_err(|e| tracing::debug!(error = %e, "the graph cannot be read")).unwrap_or_default();
        match graph.external {
            Some(tensor) => Err(PackageError::External { path: self.path.clone(), tensor }),
            None => Ok(graph),
        }
    }

    fn stamp(&self) -> Result<Stamp, PackageError> {
        Ok(Stamp::of(&self.file.metadata().map_err(|source| self.unread(source))?))
    }

    fn unread(&self, source: io::Error) -> PackageError {
        PackageError::Read { path: self.path.clone(), source }
    }

    /// Hashes the file, unless nobody has touched it since that was done.
    fn prove(&self) -> Result<Stamp, PackageError> {
        // Several sessions are opened at once; one hashes.
        let mut proven = self.proven.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.stamp()?;
        if *proven == Some(before) {
            return Ok(before);
        }
        *proven = None;
        let found = sha256(&self.file).map_err(|source| self.unread(source))?;
        if found != self.expected {
            return Err(PackageError::Model { path: self.path.clone(), found, expected: self.expected.clone() });
        }
        if self.stamp()? != before {
            return Err(PackageError::Changed { path: self.path.clone() });
        }
        Ok(*proven.insert(before))
    }
}

/// A file with nothing but a digest in it.
pub fn read_digest(path: &Path) -> Result<Digest, PackageError> {
    let path = || path.to_owned();
    let text = fs::read_to_string(path()).map_err(|source| PackageError::Read { path: path(), source })?;
    let found = text.trim();
    // A name of the wrong file may bring anything.
    let wrong = |_| PackageError::DigestFile { path: path(), found: found.chars().take(80).collect() };
    found.parse().map_err(wrong)
}

/// In pieces: a model may be larger than the memory that is left beside it.
fn sha256(mut file: &File) -> io::Result<Digest> {
    file.rewind()?;
    let mut hasher = Sha256::new();
    let mut piece = vec![0; 1 << 20];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(Digest::from_hash(&hasher.finalize())),
            n => hasher.update(piece.get(..n).unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn model(content: &[u8]) -> (tempfile::TempDir, PathBuf, OpenModel) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(MODEL_FILE);
        fs::write(&path, content).unwrap();
        let model = OpenModel::open(path.clone(), Digest::of(content)).unwrap();
        (directory, path, model)
    }

    #[test]
    fn what_is_read_is_what_was_hashed_whatever_the_name_leads_to() {
        let (_directory, path, model) = model(b"right");
        fs::remove_file(&path).unwrap();
        fs::write(&path, b"wrong").unwrap();
        assert_eq!(model.read(|path| fs::read(path).unwrap()).unwrap(), b"right");
    }

    #[test]
    fn a_file_that_is_written_to_is_hashed_again_and_refused() {
        let (_directory, path, model) = model(b"right");
        let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        // Longer, as two writes may be within one tick of the clock of the file system.
        file.write_all(b"wrong!").unwrap();
        let error = model.read(|_| ()).unwrap_err();
        assert!(matches!(&error, PackageError::Model { found, .. } if *found == Digest::of(b"wrong!")), "{error}");
        file.set_len(0).unwrap();
        fs::write(&path, b"right").unwrap();
        model.read(|_| ()).unwrap();
        // While an engine reads it.
        let error = model.read(|_| fs::write(&path, b"right or wrong").unwrap()).unwrap_err();
        assert!(matches!(error, PackageError::Changed { .. }), "{error}");
    }

    #[test]
    fn the_file_of_a_digest_holds_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("digest");
        fs::write(&path, format!(" {}\n", Digest::of(b"x"))).unwrap();
        assert_eq!(read_digest(&path).unwrap(), Digest::of(b"x"));
        fs::write(&path, "x".repeat(1 << 20)).unwrap();
        let error = read_digest(&path).unwrap_err().to_string();
        assert!(error.len() < 300 && error.contains("expected the digest"), "{error}");
    }
}
