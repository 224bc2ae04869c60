use serde::{Deserialize, Serialize};

/// Annotation of a stable pod that holds its [`Split`] as JSON; the pod reads it through a downward-API volume.
pub const SPLIT_ANNOTATION: &str = "drydock.dev/split";

/// What a stable pod does with its requests. No annotation, or an empty one, means: answer all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Split {
    /// Percent of requests that go to the canary, 0 to 100.
    pub weight: u8,
    /// The canary's revision.
    pub revision: String,
    /// Names the span of time that the [`SplitWindow`] counts: the counts start again at 0 when it changes.
    pub window: String,
    /// Percent of the canary's requests that the stable model answers too, to compare the two.
    #[serde(default)]
    pub compare: u8,
    /// After this many milliseconds the stable model answers in the canary's place.
    pub timeout_milliseconds: u32,
    /// Requests with one of these go to the canary, whatever the weight.
    #[serde(rename = "match", default, skip_serializing_if = "Vec::is_empty")]
    pub matches: Vec<RequestMatch>,
    /// Of requests that have it, its value decides, so that the same value always goes the same way: see docs/rollouts.md for the hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sticky: Option<RequestKey>,
    /// Percent of the requests that the stable model answers of which the canary gets a copy, 0 to 100.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub shadow: u8,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn is_zero(n: &u8) -> bool {
    *n == 0
}

/// What of a request decides: the value of an HTTP header (of gRPC metadata) or of a cookie, by its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RequestKey {
    Header(String),
    Cookie(String),
}

/// A key and the value that it must have, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestMatch {
    #[serde(flatten)]
    pub key: RequestKey,
    pub value: String,
}

/// What a stable pod has seen of the canary in one window: `GET /drydock/split` on the admin port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SplitWindow {
    /// Of the [`Split`] in force; empty when there is none.
    pub revision: String,
    pub window: String,
    pub weight: u8,
    /// Requests sent to the canary and ended, failed ones among them.
    pub requests: u64,
    /// Of those: no connection, or it broke.
    pub unreachable: u64,
    /// Of those: the canary said that it failed (HTTP 5xx and the like; what the stable model refuses too is not counted).
    pub errors: u64,
    /// Of those: no answer within the timeout.
    pub timeouts: u64,
    /// Requests that both models answered.
    pub compared: u64,
    /// Of those compared: both gave the same class (the largest value of the first output).
    pub agreed: u64,
}

impl SplitWindow {
    pub fn failures(&self) -> u64 {
        self.unreachable.saturating_add(self.errors).saturating_add(self.timeouts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pods of an older sidecar read it, and an annotation that differs is written again.
    #[test]
    fn what_is_not_used_is_not_said() {
        let split = Split { weight: 10, revision: "r2".into(), timeout_milliseconds: 500, ..Split::default() };
        let json = r#"{"weight":10,"revision":"r2","window":"","compare":0,"timeoutMilliseconds":500}"#;
        assert_eq!(serde_json::to_string(&split).unwrap(), json);
        let key = RequestKey::Cookie("session".into());
        let matches = vec![RequestMatch { key: RequestKey::Header("x-canary".into()), value: "always".into() }];
        let split = Split { matches, sticky: Some(key), shadow: 5, ..split };
        let json = json.replace(
            "500}",
            r#"500,"match":[{"header":"x-canary","value":"always"}],"sticky":{"cookie":"session"},"shadow":5}"#,
        );
        assert_eq!(serde_json::to_string(&split).unwrap(), json);
        assert_eq!(serde_json::from_str::<Split>(&json).unwrap(), split);
    }
}
