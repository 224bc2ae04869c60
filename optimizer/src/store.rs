//! The artifact store: model packages in a directory, each there whole or not at all.
//!
//! ```text
//! packages/<hex of the package digest>/package.json, model.onnx, samples.safetensors, search.json, and what people read
//! packages/.staging-…/      being written, or left by a run that died
//! results/<hex>.json        what a task came to, so that it need not be done again
//! ```

mod results;

use std::fs::{File, Permissions};
use std::io::{Read, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use drydock_contract::{Digest, FailureReason, MANIFEST_FILE, MODEL_FILE, ModelFile, PackageManifest};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

pub use results::{ResultKey, Sources};

use crate::error::is_full;

const PACKAGES: &str = "packages";
const STAGING: &str = ".staging-";
/// No run stages for so long: what is older was left by one that died.
const STALE: Duration = Duration::from_hours(1);

#[derive(Debug, thiserror::Error)]
#[error("artifact store: cannot {operation} {}: {source}", path.display())]
pub struct StoreError {
    operation: &'static str,
    path: PathBuf,
    source: std::io::Error,
}

impl StoreError {
    pub fn reason(&self) -> FailureReason {
        if is_full(&self.source) { FailureReason::DiskFull } else { FailureReason::StoreUnavailable }
    }
}

fn failed<'p>(operation: &'static str, path: &'p Path) -> impl Fn(std::io::Error) -> StoreError + use<'p> {
    move |source| StoreError { operation, path: path.to_owned(), source }
}

/// A directory that outlives the run. Any number of runs may write to it at once.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// Makes the directories that are missing, and removes what dead runs left half-written.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let packages = root.join(PACKAGES);
        std::fs::create_dir_all(&packages).map_err(failed("create", &packages))?;
        sweep(&packages);
        Ok(Self { root: root.to_owned() })
    }

    pub fn package_path(&self, digest: &Digest) -> PathBuf {
        self.root.join(PACKAGES).join(digest.hex())
    }

    /// Whether the package is there and its model is what its manifest says.
    pub fn holds(&self, digest: &Digest) -> bool {
        is_whole(&self.package_path(digest), digest)
    }

    /// Writes a model where no reader looks yet. It is removed again unless published.
    pub fn stage(&self, model: &[u8]) -> Result<Staged, StoreError> {
        let packages = self.root.join(PACKAGES);
        let directory = tempfile::Builder::new()
            .prefix(STAGING)
            .tempdir_in(&packages)
            .map_err(failed("create a directory in", &packages))?;
        let path = directory.path().join(MODEL_FILE);
        write_synced(&path, model)?;
        let file = ModelFile { sha256: Digest::of(model), size: model.len() as u64 };
        Ok(Staged { store: self.clone(), directory, file, attached: Vec::new() })
    }
}

/// A model in the store that is not yet a package.
#[derive(Debug)]
pub struct Staged {
    store: Store,
    directory: TempDir,
    file: ModelFile,
    attached: Vec<String>,
}

impl Staged {
    pub fn model_path(&self) -> PathBuf {
        self.directory.path().join(MODEL_FILE)
    }

    pub fn file(&self) -> &ModelFile {
        &self.file
    }

    /// Adds a file that the manifest has the digest of: it stays with its manifest, where an equal package is there already.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<(), StoreError> {
        write_synced(&self.directory.path().join(name), content)
    }

    /// Adds a file that servers do not read.
    pub fn attach(&mut self, name: &str, content: &[u8]) -> Result<(), StoreError> {
        self.write(name, content)?;
        self.attached.push(name.to_owned());
        Ok(())
    }

    /// The same as JSON.
    pub fn attach_json(&mut self, name: &str, content: &impl serde::Serialize) -> Result<(), StoreError> {
        let json =
            serde_json::to_vec(content).map_err(|e| failed("encode", &self.directory.path().join(name))(e.into()))?;
        self.attach(name, &json)
    }

    /// Adds the manifest and gives the package its name, in one step for any reader. If an equal one is there, that one
    /// stays, with what is attached to this one.
    pub fn publish(self, manifest: &PackageManifest) -> Result<PathBuf, StoreError> {
        let path = self.directory.path().join(MANIFEST_FILE);
        let json = serde_json::to_vec_pretty(manifest).map_err(|e| failed("encode", &path)(e.into()))?;
        write_synced(&path, &json)?;
        // Servers run as other users.
        std::fs::set_permissions(self.directory.path(), Permissions::from_mode(0o755))
            .map_err(failed("set permissions of", self.directory.path()))?;
        sync_directory(self.directory.path())?;

        let target = self.store.package_path(&manifest.digest);
        let rename = || std::fs::rename(self.directory.path(), &target);
        if let Err(first) = rename() {
            if is_whole(&target, &manifest.digest) {
                for name in &self.attached {
                    let to = target.join(name);
                    std::fs::rename(self.directory.path().join(name), &to).map_err(failed("replace", &to))?;
                }
                return Ok(target);
            }
            if !target.exists() {
                return Err(failed("create", &target)(first));
            }
            // Damaged, by a disk or by hand: out of the way, where the sweep finds it.
            let aside = self.store.root.join(PACKAGES).join(format!("{STAGING}damaged-{}", std::process::id()));
            std::fs::rename(&target, &aside).map_err(failed("move aside", &target))?;
            rename().map_err(failed("create", &target))?;
        }
        // Renamed: there is nothing left for its destructor to remove.
        let _ = self.directory.keep();
        sync_directory(&self.store.root.join(PACKAGES))?;
        Ok(target)
    }
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let write = || {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.set_permissions(Permissions::from_mode(0o644))?;
        file.sync_all()
    };
    write().map_err(failed("write", path))
}

fn sync_directory(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|d| d.sync_all()).map_err(failed("sync", path))
}

fn is_whole(package: &Path, digest: &Digest) -> bool {
    let read = || -> Option<bool> {
        let manifest: PackageManifest =
            serde_json::from_slice(&std::fs::read(package.join(MANIFEST_FILE)).ok()?).ok()?;
        let (found, size) = digest_rest(File::open(package.join(MODEL_FILE)).ok()?).ok()?;
        let model = &manifest.content.model;
        Some(
            manifest.digest == *digest
                && manifest.content.digest() == *digest
                && model.size == size
                && model.sha256 == found,
        )
    };
    read().unwrap_or(false)
}

/// Digest and length of what is left to read.
fn digest_rest(mut from: impl Read) -> std::io::Result<(Digest, u64)> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let mut size = 0;
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok((Digest::from_hash(&hasher.finalize()), size)),
            n => {
                hasher.update(&buffer[..n]);
                size += n as u64;
            }
        }
    }
}

/// Removes old staging directories. Whatever goes wrong: they only take room.
fn sweep(packages: &Path) {
    let Ok(entries) = std::fs::read_dir(packages) else { return };
    for entry in entries.flatten().filter(|e| e.file_name().to_string_lossy().starts_with(STAGING)) {
        let modified = entry.metadata().and_then(|m| m.modified());
        let age = modified.ok().and_then(|m| SystemTime::now().duration_since(m).ok());
        if age.is_some_and(|a| a > STALE) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests;
