//! A file that stays the same file: others may write to the volume that it lies on.

use std::fs::{File, Metadata};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One open file, read by any number of readers. What its name comes to mean later is nothing to them.
#[derive(Clone, Debug)]
pub struct SharedFile {
    path: PathBuf,
    file: Arc<File>,
    stamp: Stamp,
}

/// Changes with each write to the file. A writer can set the modification time back, but not that of the inode's change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    length: u64,
    links: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    pub(crate) fn of(m: &Metadata) -> Self {
        Self {
            length: m.len(),
            links: m.nlink(),
            modified: (m.mtime(), m.mtime_nsec()),
            changed: (m.ctime(), m.ctime_nsec()),
        }
    }
}

impl SharedFile {
    pub fn open(path: &Path) -> std::io::Result<Self> {
        let file = File::open(path)?;
        let stamp = Stamp::of(&file.metadata()?);
        Ok(Self { path: path.to_owned(), file: Arc::new(file), stamp })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn stamp(&self) -> Stamp {
        self.stamp
    }

    pub(crate) fn size(&self) -> u64 {
        self.stamp.length
    }

    /// Reads from the beginning.
    pub fn reader(&self) -> Reader {
        Reader { file: Arc::clone(&self.file), length: self.stamp.length, position: 0 }
    }

    /// Whether the content is still what it was when the file was opened.
    pub fn is_unchanged(&self) -> bool {
        let before = self.stamp;
        self.file.metadata().map(|m| Stamp::of(&m)).is_ok_and(|now| {
            now.length == before.length
                && now.modified == before.modified
                // Removed, or replaced by a rename: the inode changed, by a link less, and the content did not.
                && (now.changed == before.changed || now.links != before.links)
        })
    }
}

/// Reads a [`SharedFile`] at a position of its own.
#[derive(Clone, Debug)]
pub struct Reader {
    file: Arc<File>,
    length: u64,
    position: u64,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.file.read_at(buffer, self.position)?;
        self.position += n as u64;
        Ok(n)
    }
}

impl Seek for Reader {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        let target = match to {
            SeekFrom::Start(n) => Some(n),
            SeekFrom::Current(n) => self.position.checked_add_signed(n),
            SeekFrom::End(n) => self.length.checked_add_signed(n),
        };
        self.position = target.ok_or(std::io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(file: &SharedFile) -> Vec<u8> {
        let mut bytes = Vec::new();
        file.reader().read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_name_that_comes_to_mean_another_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x");
        std::fs::write(&path, b"first").unwrap();
        let file = SharedFile::open(&path).unwrap();
        std::fs::write(directory.path().join("y"), b"other").unwrap();
        std::fs::rename(directory.path().join("y"), &path).unwrap();
        assert_eq!(all(&file), b"first");
        assert!(file.is_unchanged());

        let mut reader = file.reader();
        let mut tail = String::new();
        assert_eq!(reader.seek(SeekFrom::End(-2)).unwrap(), 3);
        reader.read_to_string(&mut tail).unwrap();
        assert_eq!(tail, "st");
        assert!(reader.seek(SeekFrom::Current(-9)).is_err());
    }

    #[test]
    fn a_file_that_is_written_to() {
        for content in [&b"longer than first"[..], b"FIRST"] {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), b"first").unwrap();
            let old = std::time::SystemTime::UNIX_EPOCH;
            file.as_file().set_modified(old).unwrap();
            let shared = SharedFile::open(file.path()).unwrap();
            assert!(shared.is_unchanged());
            std::fs::write(file.path(), content).unwrap();
            assert!(!shared.is_unchanged(), "{content:?}");
        }
    }
}
