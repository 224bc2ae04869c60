use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A Kubernetes quantity that may be written as a number too (`cpu: 2`), as in a pod.
///
/// k8s-openapi's own `Quantity` reads strings only: the API server has rewritten numbers in built-in kinds by then, but it
/// leaves those of custom resources as they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "NumberOrString")]
pub struct Amount(pub String);

#[derive(Deserialize)]
#[serde(untagged)]
enum NumberOrString {
    Number(serde_json::Number),
    String(String),
}

impl From<NumberOrString> for Amount {
    fn from(v: NumberOrString) -> Self {
        match v {
            NumberOrString::Number(n) => Self(n.to_string()),
            NumberOrString::String(s) => Self(s),
        }
    }
}

impl From<Amount> for Quantity {
    fn from(a: Amount) -> Self {
        Self(a.0)
    }
}

impl JsonSchema for Amount {
    fn schema_name() -> Cow<'static, str> {
        "Amount".into()
    }

    fn inline_schema() -> bool {
        true
    }

    /// The schema that Kubernetes gives quantities in its own CRDs.
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "pattern": r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$",
        })
    }
}
