use std::io::{BufReader, Read as _, Take};

use bytes::Bytes;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::reader::{ChunkReader, FileReader as _, Length, SerializedFileReader};

use crate::dataset::DatasetError;
use crate::dataset::part::Part;
use crate::file::Reader;

/// What a row has in one column.
pub(super) enum Value {
    Bytes(ByteArray),
    Numbers(Vec<f64>),
}

/// One leaf column, row after row, through all files and row groups. One page of it is in memory.
pub(super) struct Column<'a> {
    parts: &'a [Part],
    leaf: usize,
    file: Option<SerializedFileReader<Part>>,
    /// The part that comes after `file`.
    part: usize,
    /// The row group of `file` that comes next.
    group: usize,
    /// Rows of the present one.
    left: i64,
    reader: Option<ColumnReader>,
    row: usize,
}

impl<'a> Column<'a> {
    pub(super) fn new(parts: &'a [Part], leaf: usize) -> Self {
        Self { parts, leaf, file: None, part: 0, group: 0, left: 0, reader: None, row: 0 }
    }

    /// Of the next row.
    pub(super) fn value(&mut self) -> Result<Value, DatasetError> {
        while self.left <= 0 {
            self.advance()?;
        }
        let part = &self.parts[self.part.saturating_sub(1)];
        let refused = |problem: &str| DatasetError::entry(part.path(), &format!("row {}", self.row), problem);
        let value = match &mut self.reader {
            Some(ColumnReader::ByteArrayColumnReader(r)) => {
                record(r).map(|v| v.and_then(|mut v| v.pop()).map(Value::Bytes))
            }
            Some(ColumnReader::Int32ColumnReader(r)) => numbers(r, |v| f64::from(*v)),
            Some(ColumnReader::Int64ColumnReader(r)) => numbers(r, |v| *v as f64),
            Some(ColumnReader::FloatColumnReader(r)) => numbers(r, |v| f64::from(*v)),
            Some(ColumnReader::DoubleColumnReader(r)) => numbers(r, |v| *v),
            _ => Ok(None),
        };
        let value = value.map_err(|e| super::unreadable(part.path(), &e))?;
        let value = value.ok_or_else(|| refused("found null, or an empty list; expected a value"))?;
        self.row += 1;
        self.left -= 1;
        Ok(value)
    }

    fn advance(&mut self) -> Result<(), DatasetError> {
        let file = match &self.file {
            Some(file) if self.group < file.num_row_groups() => file,
            _ => {
                let part = self.parts.get(self.part).or(self.parts.last());
                let part = part.ok_or_else(|| DatasetError::entry("".as_ref(), "row 0", "found no file"))?;
                if self.part == self.parts.len() {
                    let ended = ParquetError::EOF(format!("it ends after {} rows", self.row));
                    return Err(super::unreadable(part.path(), &ended));
                }
                self.part += 1;
                self.group = 0;
                self.file.insert(super::read(part)?)
            }
        };
        if self.group == file.num_row_groups() {
            return Ok(());
        }
        let path = self.parts[self.part - 1].path();
        let group = file.get_row_group(self.group).map_err(|e| super::unreadable(path, &e))?;
        self.left = group.metadata().num_rows();
        self.reader = Some(group.get_column_reader(self.leaf).map_err(|e| super::unreadable(path, &e))?);
        self.group += 1;
        Ok(())
    }
}

fn numbers<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    convert: impl Fn(&T::T) -> f64,
) -> ParquetResult<Option<Value>> {
    Ok(record(reader)?.map(|values| Value::Numbers(values.iter().map(convert).collect())))
}

/// All values of one row; `None` where there is none or one is null.
fn record<T: DataType>(reader: &mut ColumnReaderImpl<T>) -> ParquetResult<Option<Vec<T::T>>> {
    let (mut definitions, mut repetitions, mut values) = (Vec::new(), Vec::new(), Vec::new());
    let (records, read, levels) =
        reader.read_records(1, Some(&mut definitions), Some(&mut repetitions), &mut values)?;
    if records == 0 {
        return Err(ParquetError::EOF("a column has fewer rows than its row group".into()));
    }
    Ok((read == levels && read > 0).then_some(values))
}

impl Length for Part {
    fn len(&self) -> u64 {
        self.size()
    }
}

impl ChunkReader for Part {
    type T = BufReader<Take<Reader>>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        Ok(self.reader(start)?)
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        let mut bytes = Vec::new();
        // Grows with what is there, not with what the file claims.
        let read = self.reader(start)?.take(length as u64).read_to_end(&mut bytes)?;
        if read == length {
            Ok(bytes.into())
        } else {
            Err(ParquetError::EOF(format!("{read} of {length} bytes: it is truncated")))
        }
    }
}
