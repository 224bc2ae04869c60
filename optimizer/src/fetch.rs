//! Brings a source to a local file, or finds a directory, and knows its digest. What was hashed is what is used, whoever writes to the volume.

mod model;

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};
use std::time::Duration;

use drydock_contract::{Digest, FailureReason, Input, Location};
use reqwest::StatusCode;
use reqwest::blocking::{Client, Response};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::dataset::{DatasetError, OpenError, Opened};
use crate::error::is_full;
use crate::file::SharedFile;
use crate::folder::Folder;
use crate::interrupt::{self, Interrupted};
use crate::onnx::MAX_MODEL_BYTES;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
const OVERALL_TIMEOUT: Duration = Duration::from_hours(1);
const MAX_DATASET_BYTES: u64 = 64 << 30;

/// What a source is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Model,
    Calibration,
    Evaluation,
    Training,
}

impl Purpose {
    fn as_str(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Calibration => "calibration data",
            Self::Evaluation => "evaluation data",
            Self::Training => "training data",
        }
    }

    fn limit(self) -> u64 {
        if self == Self::Model { MAX_MODEL_BYTES } else { MAX_DATASET_BYTES }
    }
}

/// A local file, or a directory of a data set, whose content has this digest.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// A model is a copy in the scratch directory, with its external data beside it.
    pub path: PathBuf,
    /// Of the file. Of several, that of what `sha256sum` prints for them: those of a model as
    /// [`PackageRecord::source`](drydock_contract::PackageRecord::source) has them, those of a data set by name.
    pub digest: Digest,
    /// Open since before it was hashed. Data sets are too large to copy.
    pub file: Opened,
    /// Holds what was copied or downloaded, as long as somebody uses it.
    _scratch: Option<Arc<TempDir>>,
}

#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("{}: cannot read {source_name}: {problem}", purpose.as_str())]
    Unreachable { purpose: Purpose, source_name: String, problem: String },
    #[error("{}: {source_name} has digest {found}; expected {expected}", purpose.as_str())]
    Digest { purpose: Purpose, source_name: String, found: Digest, expected: Digest },
    #[error("{}: {source_name} has more than {limit} bytes", purpose.as_str())]
    TooLarge { purpose: Purpose, source_name: String, limit: u64 },
    #[error("{}: {source_name}: {problem}", purpose.as_str())]
    Location { purpose: Purpose, source_name: String, problem: &'static str },
    #[error("model: its weights lie in {files}, which sha256 does not cover; save it as one file, or leave sha256 out")]
    Uncovered { files: String },
    #[error(
        "{}: {source_name} needs {files} more files beside it, which sha256 does not cover; name their directory, or leave sha256 out",
        purpose.as_str()
    )]
    Beside { purpose: Purpose, source_name: String, files: usize },
    #[error("{}: {problem}", purpose.as_str())]
    Data { purpose: Purpose, problem: DatasetError },
    #[error("model: external data {location:?}: {problem}")]
    External { location: String, problem: String },
    #[error("cannot write {} to the scratch directory: {source}", path.display())]
    Scratch { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl FetchError {
    pub fn reason(&self) -> FailureReason {
        match self {
            // What it is now may be a good data set: a writer was at work.
            Self::Unreachable { .. } | Self::Data { problem: DatasetError::Changed { .. }, .. } => {
                FailureReason::SourceUnreachable
            }
            Self::Digest { .. } => FailureReason::DigestMismatch,
            Self::TooLarge { purpose: Purpose::Model, .. } | Self::Uncovered { .. } | Self::External { .. } => {
                FailureReason::InvalidModel
            }
            Self::Interrupted(_) | Self::Data { problem: DatasetError::Interrupted(_), .. } => {
                FailureReason::Interrupted
            }
            Self::TooLarge { .. } | Self::Beside { .. } | Self::Data { .. } => FailureReason::InvalidDataset,
            Self::Location { .. } => FailureReason::InvalidTask,
            Self::Scratch { source, .. } if is_full(source) => FailureReason::DiskFull,
            Self::Scratch { .. } => FailureReason::Internal,
        }
    }
}

/// Hashes the file, or copies or downloads it into `scratch` on the way, and verifies the digest if one is given. What is
/// hashed is never in memory whole.
///
/// # Errors
/// [`FetchError`]. Every HTTP status but success is [`FetchError::Unreachable`], as its cause may go away: a missing
/// file can be uploaded, a permission given.
pub fn fetch(input: &Input, purpose: Purpose, scratch: &Path) -> Result<Fetched, FetchError> {
    let (name, mut fetched) = match &input.location {
        Location::Path(path) if purpose == Purpose::Model => {
            (path.clone(), model::copy_file(Path::new(path), scratch)?)
        }
        Location::Path(path) => (path.clone(), hash_data(Path::new(path), input.sha256.is_some(), purpose)?),
        Location::Url(url) => download(url, input.sha256.is_some(), purpose, scratch)?,
    };
    match &input.sha256 {
        Some(expected) if *expected != fetched.digest => {
            let expected = expected.clone();
            return Err(FetchError::Digest { purpose, source_name: name, found: fetched.digest, expected });
        }
        _ => {}
    }
    if purpose == Purpose::Model {
        let directory = match &input.location {
            Location::Path(path) => Path::new(path).parent(),
            Location::Url(_) => None,
        };
        fetched.digest = model::copy_external(&fetched, directory, input.sha256.is_some())?;
    }
    Ok(fetched)
}

fn hash_data(path: &Path, verified: bool, purpose: Purpose) -> Result<Fetched, FetchError> {
    let name = path.display().to_string();
    let opened = Opened::open(path).map_err(|e| match e {
        OpenError::Io(e) => unreachable(purpose, &name, &e),
        OpenError::Data(problem) => FetchError::Data { purpose, problem },
    })?;
    let digest = match &opened {
        Opened::File(file) => hash_file(file, &name, purpose)?,
        Opened::Folder(folder) if verified && folder.root() != path => {
            return Err(FetchError::Beside { purpose, source_name: name, files: folder.len() - 1 });
        }
        Opened::Folder(folder) => hash_folder(folder, &name, purpose)?,
    };
    Ok(Fetched { path: path.to_owned(), digest, file: opened, _scratch: None })
}

fn hash_file(file: &SharedFile, name: &str, purpose: Purpose) -> Result<Digest, FetchError> {
    copy(BufReader::new(file.reader()), &mut std::io::sink(), name, purpose, Path::new(""))
}

fn hash_folder(folder: &Folder, name: &str, purpose: Purpose) -> Result<Digest, FetchError> {
    let mut hasher = Sha256::new();
    let mut left = purpose.limit();
    for i in 0..folder.len() {
        let file = folder.open(i).map_err(|e| FetchError::Data { purpose, problem: e.into() })?;
        left = left.checked_sub(file.size()).ok_or_else(|| too_large(purpose, name))?;
        let digest = hash_file(&file, &file.path().display().to_string(), purpose)?;
        hasher.update(format!("{}  {}\n", digest.hex(), folder.name(i)));
    }
    Ok(Digest::from_hash(&hasher.finalize()))
}

/// A file in a new directory in `scratch`.
fn keep(from: impl Read, name: &str, file_name: &str, purpose: Purpose, scratch: &Path) -> Result<Fetched, FetchError> {
    let scratch_error = |path: &Path| {
        let path = path.to_owned();
        move |source| FetchError::Scratch { path, source }
    };
    let directory = tempfile::tempdir_in(scratch).map_err(scratch_error(scratch))?;
    let path = directory.path().join(file_name);
    let mut file = File::create(&path).map_err(scratch_error(&path))?;
    let digest = copy(from, &mut file, name, purpose, &path)?;
    let file = Opened::File(SharedFile::open(&path).map_err(scratch_error(&path))?);
    Ok(Fetched { path, digest, file, _scratch: Some(Arc::new(directory)) })
}

fn unreachable(purpose: Purpose, name: &str, error: &dyn std::error::Error) -> FetchError {
    FetchError::Unreachable { purpose, source_name: name.to_owned(), problem: describe(error) }
}

fn download(text: &str, verified: bool, purpose: Purpose, scratch: &Path) -> Result<(String, Fetched), FetchError> {
    let location = |problem| FetchError::Location { purpose, source_name: redact(text), problem };
    let url = reqwest::Url::parse(text).map_err(|_| location("expected a URL, https://… or http://…"))?;
    match url.scheme() {
        "https" => {}
        "http" if verified => {}
        "http" => return Err(location("http:// needs a sha256, or anyone on the way can replace the file")),
        _ => return Err(location("expected https:// or http://")),
    }
    let name = redact(text);
    let unreachable = |problem: String| FetchError::Unreachable { purpose, source_name: name.clone(), problem };
    let response =
        client(!verified).and_then(|c| c.get(url).send()).map_err(|e| unreachable(describe(&e.without_url())))?;
    if response.status() != StatusCode::OK {
        return Err(unreachable(format!("the server answered {}", response.status())));
    }
    check_length(&response, purpose, &name)?;

    let fetched = keep(response, &name, &purpose.as_str().replace(' ', "-"), purpose, scratch)?;
    Ok((name, fetched))
}

fn client(https_only: bool) -> reqwest::Result<Client> {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // An error says that there is one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    Client::builder()
        .user_agent(concat!("drydock-optimizer/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(OVERALL_TIMEOUT)
        // Redirects are held to it too.
        .https_only(https_only)
        .build()
}

fn check_length(response: &Response, purpose: Purpose, name: &str) -> Result<(), FetchError> {
    match response.content_length() {
        Some(n) if n > purpose.limit() => Err(too_large(purpose, name)),
        _ => Ok(()),
    }
}

fn too_large(purpose: Purpose, name: &str) -> FetchError {
    FetchError::TooLarge { purpose, source_name: name.to_owned(), limit: purpose.limit() }
}

/// Copies to the end and gives the digest of what went by.
fn copy(
    mut from: impl Read,
    to: &mut impl Write,
    name: &str,
    purpose: Purpose,
    path: &Path,
) -> Result<Digest, FetchError> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let mut left = purpose.limit();
    loop {
        interrupt::check()?;
        let n = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(unreachable(purpose, name, &e)),
        };
        left = left.checked_sub(n as u64).ok_or_else(|| too_large(purpose, name))?;
        hasher.update(&buffer[..n]);
        to.write_all(&buffer[..n]).map_err(|source| FetchError::Scratch { path: path.to_owned(), source })?;
    }
    Ok(Digest::from_hash(&hasher.finalize()))
}

/// The error and its causes: the outermost alone says little more than "error sending request".
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

/// Without what may be secret: user, password and query.
fn redact(url: &str) -> String {
    let shown = url.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = shown.split_once("://") else { return shown.to_owned() };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}{path}")
}

#[cfg(test)]
mod tests;
