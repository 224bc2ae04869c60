use std::io::Read as _;
use std::path::Path;

use super::DatasetError;
use super::kind::Kind;
use super::part::Part;
use super::tar::Tar;
use crate::folder::Folder;

/// An encoded image beyond this is not one.
const MAX_BYTES: u64 = 256 << 20;

/// Files by name: a directory, or a tar of one.
#[derive(Debug)]
pub(super) enum Tree {
    Folder(Folder),
    Tar(Tar),
}

impl Tree {
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Folder(folder) => folder.root(),
            Self::Tar(tar) => tar.file.path(),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Folder(folder) => folder.len(),
            Self::Tar(tar) => tar.entries.len(),
        }
    }

    /// In the order of the bytes of their names.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|i| self.name(i))
    }

    pub(super) fn name(&self, index: usize) -> &str {
        match self {
            Self::Folder(folder) => folder.name(index),
            Self::Tar(tar) => &tar.entries[index].name,
        }
    }

    pub(super) fn find(&self, name: &str) -> Option<usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            match self.name(middle).cmp(name) {
                std::cmp::Ordering::Equal => return Some(middle),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }

    /// Where it lies in a tar: its author chose the order. Of a directory, its place among the names.
    pub(super) fn place(&self, index: usize) -> u64 {
        match self {
            Self::Folder(_) => index as u64,
            Self::Tar(tar) => tar.entries[index].offset,
        }
    }

    pub(super) fn part(&self, index: usize) -> Result<Part, DatasetError> {
        match self {
            Self::Folder(folder) => Ok(Part::whole(&folder.open(index)?)),
            Self::Tar(tar) => Ok(tar.part(index)),
        }
    }

    /// The whole content of a file.
    pub(super) fn read(&self, index: usize, buffer: &mut Vec<u8>) -> Result<(), DatasetError> {
        let fail = |problem: String| DatasetError::entry(self.path(), self.name(index), problem);
        let part = self.part(index)?;
        if part.size() > MAX_BYTES {
            return Err(fail(format!("found {} bytes; expected at most {MAX_BYTES}", part.size())));
        }
        buffer.clear();
        let read = part.reader(0).and_then(|mut reader| reader.read_to_end(buffer));
        match read.map_err(|e| fail(e.to_string()))? {
            _ if !part.is_unchanged() => Err(DatasetError::Changed { path: part.path().to_owned() }),
            n if n as u64 == part.size() => Ok(()),
            n => Err(fail(format!("found {n} bytes; expected {}", part.size()))),
        }
    }

    /// What a file holds, and whether it was looked into: images, which there are many of, are told by their names here and by
    /// their content once they are decoded.
    pub(super) fn kind(&self, index: usize) -> Result<(Kind, bool), DatasetError> {
        let name = self.name(index);
        let extension = Path::new(name).extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
        if ["jpg", "jpeg", "png", "webp"].contains(&extension.as_str()) {
            return Ok((Kind::Image, false));
        }
        let kind = self.part(index)?.reader(0).and_then(Kind::read);
        kind.map(|k| (k, true)).map_err(|e| DatasetError::entry(self.path(), name, e))
    }
}

/// A path within a tree, in one form; `None` if it leads out of it or is no path.
pub(super) fn clean(path: &str) -> Option<String> {
    if path.starts_with('/') || path.contains(char::is_control) {
        return None;
    }
    let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty() && *p != ".").collect();
    (!parts.is_empty() && !parts.contains(&"..")).then(|| parts.join("/"))
}

/// The directory of a file in a tree, with a `/` at its end; empty at the top.
pub(super) fn directory(name: &str) -> &str {
    name.rfind('/').map_or("", |at| &name[..=at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_stay_inside() {
        for (path, expected) in [
            ("a/b.png", Some("a/b.png")),
            ("./a//b.png", Some("a/b.png")),
            ("a..b/c", Some("a..b/c")),
            ("../a", None),
            ("a/../../b", None),
            ("/etc/passwd", None),
            ("a\nb", None),
            ("./", None),
        ] {
            assert_eq!(clean(path).as_deref(), expected, "{path:?}");
        }
        assert_eq!((directory("a/b/c"), directory("c")), ("a/b/", ""));
    }
}
