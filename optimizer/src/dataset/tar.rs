use tar::Archive;

use super::DatasetError;
use super::part::Part;
use super::tree::clean;
use crate::file::SharedFile;
use crate::interrupt;

const EXPECTED: &str = "a whole tar file, not compressed";
const BLOCK: u64 = 512;
/// What a list of names may take of memory.
const MAX_ENTRIES: usize = 10_000_000;

/// Where the files of a tar lie in it. Nothing is unpacked.
#[derive(Debug)]
pub(super) struct Tar {
    pub(super) file: SharedFile,
    /// By name.
    pub(super) entries: Vec<Entry>,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) offset: u64,
    size: u64,
}

impl Tar {
    /// Reads the headers. Hidden files are left out, as of a directory.
    pub(super) fn open(file: &SharedFile) -> Result<Self, DatasetError> {
        let path = file.path();
        let fail = |problem: String| DatasetError::Read { path: path.to_owned(), problem, expected: EXPECTED };
        let mut archive = Archive::new(file.reader());
        let mut entries = Vec::new();
        let mut end = 0;
        for entry in archive.entries_with_seek().map_err(|e| fail(e.to_string()))? {
            interrupt::check()?;
            let entry = entry.map_err(|e| fail(e.to_string()))?;
            let raw = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let refused = |problem: &str| DatasetError::entry(path, &format!("{raw:?}"), problem);
            let (offset, size) = (entry.raw_file_position(), entry.size());
            end = offset.saturating_add(size.div_ceil(BLOCK).saturating_mul(BLOCK));
            if offset.saturating_add(size) > file.size() {
                return Err(refused("found less than its header says: the tar is truncated"));
            }
            let kind = entry.header().entry_type();
            if kind.is_dir() || kind.is_pax_global_extensions() {
                continue;
            }
            if !kind.is_file() && !kind.is_contiguous() {
                return Err(refused("found a link or a special file; expected files and directories"));
            }
            if std::str::from_utf8(&entry.path_bytes()).is_err() {
                return Err(refused("found a name that is not UTF-8"));
            }
            let name = clean(&raw).ok_or_else(|| refused("found a path that leads out of the archive"))?;
            if name.split('/').any(|p| p.starts_with('.')) {
                continue;
            }
            if entries.len() == MAX_ENTRIES {
                return Err(refused("found more than 10000000 files; expected fewer"));
            }
            entries.push(Entry { name, offset, size });
        }
        // Whoever wrote all of it wrote blocks of zeros last.
        if end.saturating_add(BLOCK) > file.size() {
            return Err(fail("the blocks that end it are missing: it is truncated".into()));
        }
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        if let Some(twice) = entries.windows(2).find(|w| w[0].name == w[1].name) {
            return Err(DatasetError::entry(path, &twice[0].name, "found it twice; expected each name once"));
        }
        Ok(Self { file: file.clone(), entries })
    }

    pub(super) fn part(&self, index: usize) -> Part {
        let entry = &self.entries[index];
        Part::of(&self.file, entry.offset, entry.size)
    }
}
