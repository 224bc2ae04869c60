/// Element types that data sets come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    U8,
    U16,
    U32,
    U64,
    I8,
    I16,
    I32,
    I64,
    F32,
}

impl Element {
    /// From NumPy's type string, like `<f4`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "|u1" | "<u1" => Self::U8,
            "<u2" => Self::U16,
            "<u4" => Self::U32,
            "<u8" => Self::U64,
            "|i1" | "<i1" => Self::I8,
            "<i2" => Self::I16,
            "<i4" => Self::I32,
            "<i8" => Self::I64,
            "<f4" => Self::F32,
            _ => return None,
        })
    }

    pub(super) fn width(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 => 8,
        }
    }

    /// The little-endian integer; `None` for floats and for what an i64 does not hold.
    pub(super) fn integer(self, bytes: &[u8]) -> Option<i64> {
        let mut wide = [0; 8];
        wide.get_mut(..bytes.len())?.copy_from_slice(bytes);
        let value = u64::from_le_bytes(wide);
        match self {
            Self::U64 => i64::try_from(value).ok(),
            Self::I8 => Some(i64::from(value as u8 as i8)),
            Self::I16 => Some(i64::from(value as u16 as i16)),
            Self::I32 => Some(i64::from(value as u32 as i32)),
            Self::U8 | Self::U16 | Self::U32 | Self::I64 => Some(value as i64),
            Self::F32 => None,
        }
    }
}
