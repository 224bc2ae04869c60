//! The files of a directory, listed once: others may write to the volume that it lies on.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::file::{SharedFile, Stamp};
use crate::interrupt::{self, Interrupted};

/// More than any data set of images has, and what a list of names may take of memory.
const MAX_FILES: usize = 10_000_000;

/// Files below a directory, by name. Which there are, and what is in them, stays as it was when it was opened.
#[derive(Clone, Debug)]
pub struct Folder {
    root: PathBuf,
    files: Arc<[Listed]>,
}

#[derive(Clone, Debug)]
struct Listed {
    name: String,
    stamp: Stamp,
}

#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error("cannot read {}: {problem}", path.display())]
    Read { path: PathBuf, problem: std::io::Error },
    #[error("{}: found {found}; expected {expected}", path.display())]
    Refused { path: PathBuf, found: &'static str, expected: &'static str },
    #[error("{} was written to while it was read; expected it to stay as it is for the length of a run", path.display())]
    Changed { path: PathBuf },
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl Folder {
    /// All files below `root` but hidden ones, whose names begin with a dot.
    ///
    /// # Errors
    /// A link that leads out of the directory, or to another one; a name that is not UTF-8.
    pub fn walk(root: &Path) -> Result<Self, FolderError> {
        let mut names = Vec::new();
        let mut directories = vec![String::new()];
        while let Some(directory) = directories.pop() {
            interrupt::check()?;
            let path = root.join(&directory);
            let failed = |problem| FolderError::Read { path: path.clone(), problem };
            for entry in std::fs::read_dir(&path).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                let refused = |found, expected| FolderError::Refused { path: entry.path(), found, expected };
                let name = entry
                    .file_name()
                    .into_string()
                    .ok()
                    .filter(|n| !n.contains(char::is_control))
                    .ok_or_else(|| refused("a name with control characters", "UTF-8 without them"))?;
                if name.starts_with('.') {
                    continue;
                }
                let name = if directory.is_empty() { name } else { format!("{directory}/{name}") };
                let kind = entry.file_type().map_err(failed)?;
                if kind.is_dir() {
                    directories.push(name);
                } else {
                    names.push(name);
                }
                if names.len() > MAX_FILES {
                    return Err(refused("more than 10000000 files", "fewer; pack them into a tar or Parquet file"));
                }
            }
        }
        Self::of(root, names)
    }

    /// The named files of a directory.
    ///
    /// # Errors
    /// As [`Folder::walk`]; a file that is not there.
    pub fn of(root: &Path, mut names: Vec<String>) -> Result<Self, FolderError> {
        names.sort_unstable();
        names.dedup();
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |problem| FolderError::Read { path, problem }
        };
        let real = root.canonicalize().map_err(failed(root))?;
        let list = |name: String| {
            let path = root.join(&name);
            let metadata = std::fs::symlink_metadata(&path).map_err(failed(&path))?;
            // Volumes of ConfigMaps and the caches of hubs are made of links.
            let metadata = if metadata.is_symlink() {
                let target = path.canonicalize().map_err(failed(&path))?;
                if !target.starts_with(&real) {
                    let expected = "a link to a file in the same directory, or the file itself";
                    return Err(FolderError::Refused {
                        path,
                        found: "a link that leads out of the data set",
                        expected,
                    });
                }
                std::fs::metadata(&path).map_err(failed(&path))?
            } else {
                metadata
            };
            if !metadata.is_file() {
                return Err(FolderError::Refused { path, found: "no regular file", expected: "files and directories" });
            }
            Ok(Listed { name, stamp: Stamp::of(&metadata) })
        };
        let files = names.into_iter().map(list).collect::<Result<_, _>>()?;
        Ok(Self { root: root.to_owned(), files })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn len(&self) -> usize {
        self.files.len()
    }

    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Relative to the root, with `/` between its parts. `index` is below [`Folder::len`], in the order of the names.
    pub fn name(&self, index: usize) -> &str {
        &self.files[index].name
    }

    /// # Errors
    /// It cannot be read, or is not the file that was listed.
    pub fn open(&self, index: usize) -> Result<SharedFile, FolderError> {
        let listed = &self.files[index];
        let path = self.root.join(&listed.name);
        let file = SharedFile::open(&path).map_err(|problem| FolderError::Read { path: path.clone(), problem })?;
        if file.stamp() == listed.stamp { Ok(file) } else { Err(FolderError::Changed { path }) }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_is_listed_and_what_is_not() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        std::fs::create_dir_all(at("b/c")).unwrap();
        for name in ["z", "b/c/2", "b/1", ".hidden"] {
            std::fs::write(at(name), name).unwrap();
        }
        symlink("z", at("a")).unwrap();
        let folder = Folder::walk(root.path()).unwrap();
        let names: Vec<&str> = (0..folder.len()).map(|i| folder.name(i)).collect();
        assert_eq!(names, ["a", "b/1", "b/c/2", "z"]);

        std::fs::write(at("new"), "").unwrap();
        assert_eq!(folder.len(), 4);
        std::fs::write(at("b/1"), "longer").unwrap();
        assert!(matches!(folder.open(1), Err(FolderError::Changed { .. })));
        assert!(folder.open(2).is_ok());
    }

    #[test]
    fn links_out_of_it_are_refused() {
        let outside = tempfile::NamedTempFile::new().unwrap();
        for (target, part) in [
            (outside.path(), "leads out of the data set"),
            (Path::new("../"), "leads out of the data set"),
            (Path::new("inner"), "no regular file"),
            (Path::new("nowhere"), "No such file"),
        ] {
            let root = tempfile::tempdir().unwrap();
            std::fs::create_dir(root.path().join("inner")).unwrap();
            symlink(target, root.path().join("link")).unwrap();
            let error = Folder::walk(root.path()).unwrap_err().to_string();
            assert!(error.contains(part) && error.contains("/link"), "{target:?}: {error}");
        }
    }
}
