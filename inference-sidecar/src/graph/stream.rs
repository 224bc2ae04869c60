//! Protocol buffers' wire format (protobuf.dev, "Encoding"), field by field, with a seek past what is not asked for.

use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom};

pub(super) struct Stream<R: Read + Seek> {
    reader: BufReader<R>,
    position: u64,
    end: u64,
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Number(u64),
    /// So many bytes follow.
    Bytes(u64),
    /// A number of so many bytes follows.
    Fixed(u64),
}

impl<R: Read + Seek> Stream<R> {
    pub(super) fn new(mut file: R) -> io::Result<Self> {
        let end = file.seek(SeekFrom::End(0))?;
        file.rewind()?;
        Ok(Self { reader: BufReader::new(file), position: 0, end })
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// The next field of a message that ends there; `None` at its end. Bytes that follow must be read or skipped next.
    pub(super) fn field(&mut self, end: u64) -> io::Result<Option<(u64, Value)>> {
        if self.position >= end {
            return if self.position == end { Ok(None) } else { Err(ErrorKind::InvalidData.into()) };
        }
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Number(self.varint()?),
            1 => Value::Fixed(8),
            2 => Value::Bytes(self.varint()?),
            5 => Value::Fixed(4),
            _ => return Err(ErrorKind::InvalidData.into()),
        };
        if let Value::Bytes(n) | Value::Fixed(n) = value
            && n > end.saturating_sub(self.position)
        {
            return Err(ErrorKind::InvalidData.into());
        }
        Ok(Some((key >> 3, value)))
    }

    pub(super) fn skip(&mut self, value: Value) -> io::Result<()> {
        let (Value::Bytes(n) | Value::Fixed(n)) = value else { return Ok(()) };
        self.reader.seek_relative(i64::try_from(n).map_err(io::Error::other)?)?;
        self.position += n;
        Ok(())
    }

    /// Of a length that was held against what is left.
    pub(super) fn bytes(&mut self, length: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.reader.by_ref().take(length).read_to_end(&mut bytes)?;
        self.position += length;
        if bytes.len() as u64 == length { Ok(bytes) } else { Err(ErrorKind::UnexpectedEof.into()) }
    }

    fn varint(&mut self) -> io::Result<u64> {
        let mut number = 0;
        for i in 0..10 {
            let mut byte = [0];
            self.reader.read_exact(&mut byte)?;
            self.position += 1;
            let [byte] = byte;
            number |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(ErrorKind::InvalidData.into())
    }
}
