use super::DatasetError;
use super::arrays::Arrays;
use super::element::Element;
use super::error::FORMATS;
use super::images::ImageFiles;
use super::kind::Kind;
use super::labels::Labels;
use super::layout;
use super::marks::Marks;
use super::opened::Opened;
use super::parquet::Parquet;
use super::part::Part;
use super::tar::Tar;
use super::tree::Tree;
use crate::file::SharedFile;

/// A data set, by what it is made of.
#[derive(Debug)]
pub(super) enum Format {
    Arrays(Arrays),
    Images(ImageFiles),
    Parquet(Parquet),
}

/// One item after another.
pub(super) trait Rows {
    /// The next one: an encoded image, or the elements of one row. There is one; ask no more often.
    fn next(&mut self) -> Result<&[u8], DatasetError>;
}

/// What the items of a data set are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Inputs {
    /// `shape` has the number of items first. `flat`: of how many dimensions an item is, is not recorded.
    Array { shape: Vec<i64>, element: Element, flat: bool },
    /// Encoded images.
    Images { len: usize },
}

impl Format {
    /// Told by the content.
    pub(super) fn of(opened: &Opened) -> Result<Self, DatasetError> {
        match opened {
            Opened::Folder(folder) => layout::format(Tree::Folder(folder.clone())),
            Opened::File(file) => of_file(file),
        }
    }

    pub(super) fn inputs(&self) -> Result<Inputs, DatasetError> {
        match self {
            Self::Arrays(arrays) => arrays.inputs(),
            Self::Images(files) => Ok(Inputs::Images { len: files.len() }),
            Self::Parquet(parquet) => Ok(parquet.inputs()),
        }
    }

    /// Gives `f` all items, from the first on.
    pub(super) fn pass<T, E: From<DatasetError>>(&self, f: impl FnOnce(&mut dyn Rows) -> Result<T, E>) -> Result<T, E> {
        match self {
            Self::Arrays(arrays) => arrays.pass(f),
            Self::Images(files) => f(&mut files.rows()),
            Self::Parquet(parquet) => f(&mut parquet.rows()),
        }
    }

    pub(super) fn has_labels(&self) -> Result<bool, DatasetError> {
        match self {
            Self::Arrays(arrays) => arrays.has_labels(),
            Self::Images(files) => Ok(files.labels().is_some()),
            Self::Parquet(parquet) => Ok(parquet.has_labels()),
        }
    }

    pub(super) fn labels(&self, len: usize) -> Result<Option<Labels>, DatasetError> {
        match self {
            Self::Arrays(arrays) => arrays.labels(len),
            Self::Images(files) => Ok(files.labels().cloned()),
            Self::Parquet(parquet) => parquet.labels(),
        }
    }

    /// Objects marked in images, in this format alone.
    pub(super) fn marks(&self) -> Option<&Marks> {
        if let Self::Images(files) = self { files.marks() } else { None }
    }

    /// Whether what is open is still what it was; images are looked at one by one, as they are opened.
    pub(super) fn is_unchanged(&self) -> bool {
        match self {
            Self::Arrays(Arrays::Npz(file)) => file.is_unchanged(),
            Self::Arrays(Arrays::Npy { x, y }) => x.is_unchanged() && y.as_ref().is_none_or(Part::is_unchanged),
            Self::Images(_) => true,
            Self::Parquet(parquet) => parquet.parts().iter().all(Part::is_unchanged),
        }
    }

    /// What labels would be, for messages.
    pub(super) fn expected_labels(&self) -> &'static str {
        match self {
            Self::Arrays(_) => "an array `y` of class numbers",
            Self::Images(_) => "a folder for each class, a column `label` of a CSV, or a .cls file beside each image",
            Self::Parquet(_) => "a column `label`, `class` or `y` of class numbers or names",
        }
    }

    /// How an item is called in messages.
    pub(super) fn name(&self, index: usize) -> String {
        match self {
            Self::Images(files) => files.name(index).to_owned(),
            Self::Arrays(_) | Self::Parquet(_) => format!("row {index}"),
        }
    }
}

fn of_file(file: &SharedFile) -> Result<Format, DatasetError> {
    let unreadable = |problem: String| DatasetError::Read { path: file.path().to_owned(), problem, expected: FORMATS };
    match Kind::read(file.reader()).map_err(|e| unreadable(e.to_string()))? {
        Kind::Zip => Ok(Format::Arrays(Arrays::Npz(file.clone()))),
        Kind::Npy => Ok(Format::Arrays(Arrays::Npy { x: Part::whole(file), y: None })),
        Kind::Parquet => Ok(Format::Parquet(Parquet::open(vec![Part::whole(file)])?)),
        Kind::Tar => layout::format(Tree::Tar(Tar::open(file)?)),
        Kind::Gzip => Err(unreadable("it is compressed by gzip; unpack it with `gzip -d`".into())),
        other => Err(unreadable(format!("it is {}", other.describe()))),
    }
}
