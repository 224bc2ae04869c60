//! The one table of datatypes: for each, the Rust type of its elements, and what such a type can do.

use half::{bf16, f16};
use serde::Serialize;

/// Runs `$body` with `$T` as the Rust type of the datatype's elements, or `$bytes` for `BYTES`, which has none of its own.
macro_rules! for_element {
    ($datatype:expr, $T:ident => $body:expr, Bytes => $bytes:expr) => {
        match $datatype {
            drydock_contract::Datatype::Bool => for_element!(@ $T = bool, $body),
            drydock_contract::Datatype::Uint8 => for_element!(@ $T = u8, $body),
            drydock_contract::Datatype::Uint16 => for_element!(@ $T = u16, $body),
            drydock_contract::Datatype::Uint32 => for_element!(@ $T = u32, $body),
            drydock_contract::Datatype::Uint64 => for_element!(@ $T = u64, $body),
            drydock_contract::Datatype::Int8 => for_element!(@ $T = i8, $body),
            drydock_contract::Datatype::Int16 => for_element!(@ $T = i16, $body),
            drydock_contract::Datatype::Int32 => for_element!(@ $T = i32, $body),
            drydock_contract::Datatype::Int64 => for_element!(@ $T = i64, $body),
            drydock_contract::Datatype::Fp16 => for_element!(@ $T = half::f16, $body),
            drydock_contract::Datatype::Bf16 => for_element!(@ $T = half::bf16, $body),
            drydock_contract::Datatype::Fp32 => for_element!(@ $T = f32, $body),
            drydock_contract::Datatype::Fp64 => for_element!(@ $T = f64, $body),
            drydock_contract::Datatype::Bytes => $bytes,
        }
    };
    (@ $T:ident = $type:ty, $body:expr) => {{
        type $T = $type;
        $body
    }};
}
pub(crate) use for_element;

/// A number or a truth value, as tensors hold it: little-endian.
pub(crate) trait Element: Copy {
    const WIDTH: usize;
    /// How JSON has it.
    type Json: Serialize;

    /// `bytes`: [`Element::WIDTH`] of them.
    fn read(bytes: &[u8]) -> Self;
    fn write(self, data: &mut Vec<u8>);
    /// From a token of JSON: its own text rules are checked already, so what the type accepts beyond them (`inf`) cannot come. A
    /// number that the type has no room for is none of it, and does not become an infinity.
    fn parse(token: &str) -> Option<Self>;
    fn json(self) -> Self::Json;
    fn to_f64(self) -> f64;
    /// The shortest text that is read as the same value.
    fn text(self) -> String;
}

/// The elements of raw data.
pub(crate) fn each<T: Element>(data: &[u8]) -> impl Iterator<Item = T> {
    data.chunks_exact(T::WIDTH).map(T::read)
}

macro_rules! numbers {
    ($($type:ty),*) => {$(
        impl Element for $type {
            const WIDTH: usize = size_of::<Self>();
            type Json = Self;

            fn read(bytes: &[u8]) -> Self {
                bytemuck::pod_read_unaligned(bytes)
            }

            fn write(self, data: &mut Vec<u8>) {
                data.extend_from_slice(&self.to_le_bytes());
            }

            fn parse(token: &str) -> Option<Self> {
                token.parse().ok().filter(|number: &Self| number.to_f64().is_finite())
            }

            fn json(self) -> Self {
                self
            }

            #[allow(clippy::cast_lossless, reason = "one line for all types")]
            fn to_f64(self) -> f64 {
                self as f64
            }

            fn text(self) -> String {
                self.to_string()
            }
        }
    )*};
}
numbers!(u8, u16, u32, u64, i8, i16, i32, i64, f32, f64);

macro_rules! half_floats {
    ($($type:ty),*) => {$(
        impl Element for $type {
            const WIDTH: usize = size_of::<Self>();
            type Json = f32;

            fn read(bytes: &[u8]) -> Self {
                bytemuck::pod_read_unaligned(bytes)
            }

            fn write(self, data: &mut Vec<u8>) {
                data.extend_from_slice(&self.to_le_bytes());
            }

            fn parse(token: &str) -> Option<Self> {
                token.parse().ok().map(Self::from_f64).filter(|number| number.to_f64().is_finite())
            }

            fn json(self) -> f32 {
                self.to_f32()
            }

            fn to_f64(self) -> f64 {
                self.to_f64()
            }

            fn text(self) -> String {
                self.to_f32().to_string()
            }
        }
    )*};
}
half_floats!(f16, bf16);

impl Element for bool {
    const WIDTH: usize = 1;
    type Json = Self;

    fn read(bytes: &[u8]) -> Self {
        bytes.iter().any(|b| *b != 0)
    }

    fn write(self, data: &mut Vec<u8>) {
        data.push(u8::from(self));
    }

    fn parse(token: &str) -> Option<Self> {
        match token {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    fn json(self) -> Self {
        self
    }

    fn to_f64(self) -> f64 {
        f64::from(u8::from(self))
    }

    fn text(self) -> String {
        u8::from(self).to_string()
    }
}

#[cfg(test)]
mod tests {
    use drydock_contract::Datatype;

    use super::*;

    /// What was written is as wide as the contract says, and is read again.
    #[test]
    fn every_datatype_has_its_width_and_comes_back() {
        fn check<T: Element>(datatype: Datatype) {
            assert_eq!(datatype.width(), Some(T::WIDTH), "{datatype}");
            let one = T::parse("1").or_else(|| T::parse("true")).unwrap();
            let mut data = Vec::new();
            one.write(&mut data);
            one.write(&mut data);
            let values: Vec<f64> = each::<T>(&data).map(T::to_f64).collect();
            assert_eq!((values, one.text()), (vec![1.0, 1.0], "1".to_owned()), "{datatype}");
        }
        for name in [
            "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "BF16", "FP32",
            "FP64",
        ] {
            let datatype = name.parse().unwrap();
            for_element!(datatype, T => check::<T>(datatype), Bytes => unreachable!());
        }
    }
}
