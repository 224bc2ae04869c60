use std::io::{BufReader, Read, Seek, SeekFrom, Take};
use std::path::Path;

use crate::file::{Reader, SharedFile};

/// A file, or the part of an archive that is one.
#[derive(Clone, Debug)]
pub(super) struct Part {
    file: SharedFile,
    offset: u64,
    size: u64,
}

impl Part {
    pub(super) fn whole(file: &SharedFile) -> Self {
        Self { file: file.clone(), offset: 0, size: file.size() }
    }

    pub(super) fn of(file: &SharedFile, offset: u64, size: u64) -> Self {
        Self { file: file.clone(), offset, size }
    }

    /// Of the file that it is a part of.
    pub(super) fn path(&self) -> &Path {
        self.file.path()
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn is_unchanged(&self) -> bool {
        self.file.is_unchanged()
    }

    /// Reads from `start` on.
    pub(super) fn reader(&self, start: u64) -> std::io::Result<BufReader<Take<Reader>>> {
        let mut reader = self.file.reader();
        reader.seek(SeekFrom::Start(self.offset.saturating_add(start)))?;
        Ok(BufReader::new(reader.take(self.size.saturating_sub(start))))
    }
}
