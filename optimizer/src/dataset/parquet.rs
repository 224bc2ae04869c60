mod column;
mod schema;

use std::path::Path;

use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader as _, SerializedFileReader};

use super::DatasetError;
use super::element::Element;
use super::format::{Inputs, Rows};
use super::labels::Labels;
use super::part::Part;
use column::{Column, Value};

const EXPECTED: &str = "a whole Parquet file";

/// Rows of an image or of a list of numbers, in one file or in several.
#[derive(Debug)]
pub(super) struct Parquet {
    parts: Vec<Part>,
    input: usize,
    label: Option<usize>,
    /// Images: encoded. Otherwise the numbers of the first row.
    numbers: Option<usize>,
    len: usize,
}

struct InputRows<'a> {
    parquet: &'a Parquet,
    column: Column<'a>,
    row: usize,
    buffer: Vec<u8>,
}

impl Parquet {
    /// `parts` has at least one file.
    pub(super) fn open(parts: Vec<Part>) -> Result<Self, DatasetError> {
        let mut made = Self { parts, input: 0, label: None, numbers: None, len: 0 };
        let mut columns = None;
        for part in &made.parts {
            let file = read(part)?;
            let metadata = file.metadata();
            let found = schema::columns(part.path(), metadata.file_metadata().schema_descr())?;
            if *columns.get_or_insert(found) != found {
                let found = "columns other than those of the files before it".to_owned();
                let expected = "files of one schema".to_owned();
                return Err(DatasetError::Shape { path: part.path().to_owned(), found, expected });
            }
            made.len += usize::try_from(metadata.file_metadata().num_rows()).unwrap_or(0);
        }
        if let Some((input, label)) = columns {
            (made.input, made.label) = (input, label);
        }
        if made.len > 0
            && let Value::Numbers(values) = Column::new(&made.parts, made.input).value()?
        {
            made.numbers = Some(values.len());
        }
        Ok(made)
    }

    pub(super) fn parts(&self) -> &[Part] {
        &self.parts
    }

    pub(super) fn path(&self) -> &Path {
        self.parts.first().map_or(Path::new(""), Part::path)
    }

    pub(super) fn inputs(&self) -> Inputs {
        match self.numbers {
            None => Inputs::Images { len: self.len },
            Some(numbers) => {
                Inputs::Array { shape: vec![self.len as i64, numbers as i64], element: Element::F32, flat: true }
            }
        }
    }

    pub(super) fn rows(&self) -> impl Rows {
        InputRows { parquet: self, column: Column::new(&self.parts, self.input), row: 0, buffer: Vec::new() }
    }

    pub(super) fn has_labels(&self) -> bool {
        self.label.is_some()
    }

    pub(super) fn labels(&self) -> Result<Option<Labels>, DatasetError> {
        let Some(label) = self.label else { return Ok(None) };
        let mut column = Column::new(&self.parts, label);
        let (mut numbers, mut names) = (Vec::new(), Vec::new());
        for row in 0..self.len {
            match column.value()? {
                Value::Numbers(v) if v.len() == 1 => numbers.push(v[0] as i64),
                Value::Bytes(text) => names.push(String::from_utf8_lossy(text.data()).into_owned()),
                Value::Numbers(_) => return Err(self.refused(row, "found no label; expected a class")),
            }
        }
        Ok(Some(if names.is_empty() { Labels::Numbers(numbers) } else { Labels::of_names(&names) }))
    }

    fn refused(&self, row: usize, problem: &str) -> DatasetError {
        DatasetError::entry(self.path(), &format!("row {row}"), problem)
    }
}

impl Rows for InputRows<'_> {
    fn next(&mut self) -> Result<&[u8], DatasetError> {
        let row = self.row;
        self.row += 1;
        self.buffer.clear();
        match self.column.value()? {
            Value::Bytes(bytes) => self.buffer.extend_from_slice(bytes.data()),
            Value::Numbers(values) => {
                let expected = self.parquet.numbers.unwrap_or_default();
                if values.len() != expected {
                    let found = values.len();
                    return Err(self
                        .parquet
                        .refused(row, &format!("found {found} numbers; expected {expected}, as in row 0")));
                }
                self.buffer.extend(values.iter().flat_map(|v| (*v as f32).to_le_bytes()));
            }
        }
        Ok(&self.buffer)
    }
}

fn read(part: &Part) -> Result<SerializedFileReader<Part>, DatasetError> {
    SerializedFileReader::new(part.clone()).map_err(|e| unreadable(part.path(), &e))
}

fn unreadable(path: &Path, problem: &ParquetError) -> DatasetError {
    DatasetError::Read { path: path.to_owned(), problem: problem.to_string(), expected: EXPECTED }
}
