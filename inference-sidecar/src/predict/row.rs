use std::fmt;

use drydock_contract::TensorSignature;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

/// An object with a value for each tensor of the signature, and nothing else: so it takes no more memory than the signature
/// says.
pub(super) struct Row<'s> {
    pub(super) side: &'static str,
    pub(super) signature: &'s [TensorSignature],
}

impl<'de> DeserializeSeed<'de> for Row<'_> {
    /// In the order of the signature.
    type Value = Vec<&'de str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Row<'_> {
    type Value = Vec<&'de str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with a value for each {} of the model", self.side)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let side = self.side;
        let mut values: Vec<Option<&RawValue>> = vec![None; self.signature.len()];
        while let Some(name) = map.next_key::<String>()? {
            let place = self.signature.iter().position(|s| s.name == name).and_then(|i| values.get_mut(i));
            match place {
                Some(value @ None) => *value = Some(map.next_value()?),
                Some(_) => return Err(A::Error::custom(format_args!("{side} {name:?} is there twice"))),
                None => {
                    let names: Vec<&str> = self.signature.iter().map(|s| s.name.as_str()).collect();
                    let names = names.join(", ");
                    return Err(A::Error::custom(format_args!("the model has no {side} {name:?}; expected {names}")));
                }
            }
        }
        let missing = |i: usize| {
            let name = self.signature.get(i).map_or("", |s| s.name.as_str());
            A::Error::custom(format_args!("{side} {name:?} is missing"))
        };
        values.into_iter().enumerate().map(|(i, v)| v.map(RawValue::get).ok_or_else(|| missing(i))).collect()
    }
}
