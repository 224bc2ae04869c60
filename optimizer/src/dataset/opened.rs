use std::path::Path;

use super::coco::Listing;
use super::kind::Kind;
use super::tree::clean;
use super::{DatasetError, coco, table};
use crate::file::SharedFile;
use crate::folder::{Folder, FolderError};

/// A source of data, opened: what is read later is what was there then.
#[derive(Clone, Debug)]
pub enum Opened {
    File(SharedFile),
    /// A directory, or a file together with those beside it that it needs.
    Folder(Folder),
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Data(#[from] DatasetError),
}

impl From<FolderError> for OpenError {
    fn from(e: FolderError) -> Self {
        match e {
            FolderError::Read { problem, .. } => Self::Io(problem),
            other => Self::Data(other.into()),
        }
    }
}

impl Opened {
    /// A directory as a whole; `x.npy` with `y.npy`, where there is one; a CSV or COCO JSON with its images; else the file alone.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        if std::fs::metadata(path)?.is_dir() {
            return Ok(Self::Folder(Folder::walk(path)?));
        }
        let file = SharedFile::open(path)?;
        let Some((directory, name)) = path.parent().zip(path.file_name().and_then(|n| n.to_str())) else {
            return Ok(Self::File(file));
        };
        let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        let exists = |name: &str| directory.join(name).is_file();
        let mut is_listing = false;
        let beside: Vec<String> = match Kind::read(file.reader())? {
            Kind::Npy => labels_beside(name).filter(|y| exists(y)).into_iter().collect(),
            Kind::Text => {
                let table = table::read(file.reader(), path, &exists)?;
                // One that is not there is named with its line later.
                table.into_iter().flatten().filter_map(|row| clean(&row.path)).filter(|n| exists(n)).collect()
            }
            Kind::Json => {
                let listing = coco::read(file.size(), || Ok(std::io::BufReader::new(file.reader())))
                    .map_err(|problem| DatasetError::entry(directory, name, problem))?;
                // An image that is not there is named with its place later, be it all of them.
                is_listing = listing.is_some();
                listing.iter().flat_map(Listing::files).filter_map(clean).filter(|n| exists(n)).collect()
            }
            _ => Vec::new(),
        };
        if beside.is_empty() && !is_listing {
            return Ok(Self::File(file));
        }
        let names: Vec<String> = beside.into_iter().chain([name.to_owned()]).collect();
        Ok(Self::Folder(Folder::of(directory, names)?))
    }

    pub fn path(&self) -> &Path {
        match self {
            Self::File(file) => file.path(),
            Self::Folder(folder) => folder.root(),
        }
    }

    /// As far as can be told at once; a file of a directory is looked at each time that it is opened.
    pub(super) fn is_unchanged(&self) -> bool {
        match self {
            Self::File(file) => file.is_unchanged(),
            Self::Folder(_) => true,
        }
    }
}

/// `x.npy` → `y.npy`, `train_x.npy` → `train_y.npy`.
pub(super) fn labels_beside(name: &str) -> Option<String> {
    name.strip_suffix("x.npy").map(|stem| format!("{stem}y.npy"))
}
