use serde::Serialize;
use serde::de::value::Error;
use serde::ser::{Error as _, Impossible, SerializeMap, SerializeSeq, SerializeStruct, Serializer};
use serde_json::Value;

use super::{is_atomic, is_empty, is_merged, may_be_absent};
use crate::quantity;

/// An observed value on its way past what is desired of it: what a serializer would be given is compared and forgotten. The result is
/// whether it holds what is desired.
#[derive(Clone, Copy)]
pub struct Walk<'a> {
    /// Of the map that it is in.
    key: &'a str,
    desired: &'a Value,
    quantities: bool,
}

impl<'a> Walk<'a> {
    pub fn over(desired: &'a Value) -> Self {
        Self { key: "", desired, quantities: false }
    }

    fn is_number(self, observed: f64) -> bool {
        match self.desired {
            Value::Number(n) => n.as_f64() == Some(observed),
            desired => observed == 0.0 && is_empty(desired),
        }
    }

    fn fields(self) -> Fields<'a> {
        Fields { at: self, key: String::new(), required: 0, holds: true }
    }
}

/// What no object of Kubernetes has in it.
type Never = Impossible<bool, Error>;

fn never() -> Error {
    Error::custom("no object of Kubernetes has such in it")
}

/// Whether the API server may leave out what is observed.
fn is_nothing<T: Serialize + ?Sized>(observed: &T) -> bool {
    observed.serialize(Walk::over(&Value::Null)).unwrap_or(false)
}

impl<'a> Serializer for Walk<'a> {
    type Ok = bool;
    type Error = Error;
    type SerializeSeq = Items<'a>;
    type SerializeTuple = Never;
    type SerializeTupleStruct = Never;
    type SerializeTupleVariant = Never;
    type SerializeMap = Fields<'a>;
    type SerializeStruct = Fields<'a>;
    type SerializeStructVariant = Never;

    fn serialize_bool(self, v: bool) -> Result<bool, Error> {
        Ok(self.desired == &Value::Bool(v) || (!v && is_empty(self.desired)))
    }

    fn serialize_i8(self, v: i8) -> Result<bool, Error> {
        Ok(self.is_number(v.into()))
    }

    fn serialize_i16(self, v: i16) -> Result<bool, Error> {
        Ok(self.is_number(v.into()))
    }

    fn serialize_i32(self, v: i32) -> Result<bool, Error> {
        Ok(self.is_number(v.into()))
    }

    fn serialize_i64(self, v: i64) -> Result<bool, Error> {
        Ok(self.is_number(v as f64))
    }

    fn serialize_u8(self, v: u8) -> Result<bool, Error> {
        Ok(self.is_number(v.into()))
    }

    fn serialize_u16(self, v: u16) -> Result<bool, Error> {
        Ok(self.is_number(v.into()))
    }

    fn serialize_u32(self, v: u32) -> Result<bool, Error> {
        Ok(self.is_number(v.into()))
    }

    fn serialize_u64(self, v: u64) -> Result<bool, Error> {
        Ok(self.is_number(v as f64))
    }

    fn serialize_f32(self, v: f32) -> Result<bool, Error> {
        Ok(self.is_number(v.into()))
    }

    fn serialize_f64(self, v: f64) -> Result<bool, Error> {
        Ok(self.is_number(v))
    }

    fn serialize_char(self, v: char) -> Result<bool, Error> {
        self.serialize_str(v.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, v: &str) -> Result<bool, Error> {
        Ok(match self.desired {
            Value::String(desired) if self.quantities => quantity::equal(desired, v),
            Value::String(desired) => desired == v,
            desired => v.is_empty() && is_empty(desired),
        })
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<bool, Error> {
        Err(never())
    }

    fn serialize_none(self) -> Result<bool, Error> {
        Ok(may_be_absent(self.key, self.desired))
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<bool, Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<bool, Error> {
        self.serialize_none()
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<bool, Error> {
        self.serialize_none()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<bool, Error> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<bool, Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<bool, Error> {
        let mut fields = self.fields();
        fields.field(variant, value)?;
        Ok(fields.end())
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Items<'a>, Error> {
        let desired = self.desired.as_array();
        let found = if is_merged(self.key) { vec![false; desired.map_or(0, Vec::len)] } else { Vec::new() };
        Ok(Items { at: self, count: 0, found, holds: true })
    }

    fn serialize_tuple(self, _: usize) -> Result<Never, Error> {
        Err(never())
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Never, Error> {
        Err(never())
    }

    fn serialize_tuple_variant(self, _: &'static str, _: u32, _: &'static str, _: usize) -> Result<Never, Error> {
        Err(never())
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Fields<'a>, Error> {
        Ok(self.fields())
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Fields<'a>, Error> {
        Ok(self.fields())
    }

    fn serialize_struct_variant(self, _: &'static str, _: u32, _: &'static str, _: usize) -> Result<Never, Error> {
        Err(never())
    }
}

pub struct Items<'a> {
    at: Walk<'a>,
    count: usize,
    /// Of a merged list, which of the desired items are there.
    found: Vec<bool>,
    holds: bool,
}

impl Items<'_> {
    fn item<T: Serialize + ?Sized>(&mut self, observed: &T) -> Result<(), Error> {
        let at = self.count;
        self.count += 1;
        let Value::Array(desired) = self.at.desired else { return Ok(()) };
        let holds = |desired: &Value| observed.serialize(Walk::over(desired));
        if !is_merged(self.at.key) {
            self.holds = self.holds && desired.get(at).map_or(Ok(false), holds)?;
            return Ok(());
        }
        // Mostly they are in the order in which they were applied. What holds all that is desired of an item has its key, too.
        let order = (at..desired.len()).chain(0..at.min(desired.len()));
        for at in order {
            if let (Some(found), Some(desired)) = (self.found.get_mut(at), desired.get(at))
                && !*found
                && holds(desired)?
            {
                *found = true;
            }
        }
        Ok(())
    }

    fn end(self) -> bool {
        match self.at.desired {
            Value::Array(_) if is_merged(self.at.key) => self.found.into_iter().all(|found| found),
            Value::Array(desired) => self.holds && self.count == desired.len(),
            desired => self.count == 0 && is_empty(desired),
        }
    }
}

impl SerializeSeq for Items<'_> {
    type Ok = bool;
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.item(value)
    }

    fn end(self) -> Result<bool, Error> {
        Ok(self.end())
    }
}

pub struct Fields<'a> {
    at: Walk<'a>,
    /// Of a map: that of the value to come.
    key: String,
    /// Fields that may not be absent and are there.
    required: usize,
    holds: bool,
}

impl Fields<'_> {
    fn field<T: Serialize + ?Sized>(&mut self, key: &str, observed: &T) -> Result<(), Error> {
        if !self.holds {
            return Ok(());
        }
        let of = self.at.key;
        let Value::Object(desired) = self.at.desired else {
            self.holds = is_nothing(observed);
            return Ok(());
        };
        match desired.get_key_value(key) {
            Some((key, desired)) => {
                let quantities = matches!(of, "requests" | "limits" | "capacity" | "overhead")
                    || matches!(key.as_str(), "sizeLimit" | "divisor");
                self.required += usize::from(!may_be_absent(key, desired));
                self.holds = observed.serialize(Walk { key, desired, quantities })?;
            }
            None => self.holds = !is_atomic(of) || is_nothing(observed),
        }
        Ok(())
    }

    fn end(self) -> bool {
        let required = match self.at.desired {
            Value::Object(desired) => desired.iter().filter(|(key, desired)| !may_be_absent(key, desired)).count(),
            desired => usize::from(!is_empty(desired)),
        };
        self.holds && self.required == required
    }
}

impl SerializeMap for Fields<'_> {
    type Ok = bool;
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        match serde_json::to_value(key) {
            Ok(Value::String(key)) => self.key = key,
            _ => return Err(Error::custom("a key that is no text")),
        }
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        let key = std::mem::take(&mut self.key);
        self.field(&key, value)
    }

    fn end(self) -> Result<bool, Error> {
        Ok(self.end())
    }
}

impl SerializeStruct for Fields<'_> {
    type Ok = bool;
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Error> {
        self.field(key, value)
    }

    fn end(self) -> Result<bool, Error> {
        Ok(self.end())
    }
}
