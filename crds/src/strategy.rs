use drydock_contract as contract;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the requests go over to a new revision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Strategy {
    /// In steps.
    #[default]
    Canary,
    /// None, until all of them do at once.
    BlueGreen,
    /// A share of the users, for a time; then the better one, or whom a person chooses.
    #[serde(rename = "ABTest")]
    AbTest,
    /// None: the new revision gets copies, until a person promotes it.
    Shadow,
}

/// The value of a header (of gRPC metadata), or of a cookie.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.header) != has(self.cookie)")
    .message("sticky takes one of header and cookie"))]
pub struct RequestKey {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[0-9A-Za-z!#$%&'*+.^_|~-]+$"))]
    pub header: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[0-9A-Za-z!#$%&'*+.^_|~-]+$"))]
    pub cookie: Option<String>,
}

/// A header or a cookie with this value, byte for byte.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.header) != has(self.cookie)")
    .message("an entry of match takes one of header and cookie"))]
pub struct RequestMatch {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[0-9A-Za-z!#$%&'*+.^_|~-]+$"))]
    pub header: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[0-9A-Za-z!#$%&'*+.^_|~-]+$"))]
    pub cookie: Option<String>,
    #[schemars(length(min = 1, max = 256))]
    pub value: String,
}

/// Copies of requests, which the canary answers after the user has the stable model's answer. What it answers is compared and thrown
/// away.
#[derive(KubeSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shadow {
    /// Percent of the requests that the stable model answers. At most: copies are left out where the stable pods have enough to do.
    #[schemars(range(min = 1, max = 100))]
    pub percentage: i32,
}

/// The new revision is scaled to the old one's size and can be reached at the Service `<name>-preview`; then it gets every request.
#[derive(KubeSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlueGreen {
    /// With all its pods ready.
    #[serde(default = "default_preview")]
    #[schemars(range(min = 0, max = 604_800))]
    pub preview_seconds: i32,
    /// After `previewSeconds` it waits for a person: for `control.proceed`, or `control.promote`.
    #[serde(default)]
    pub pause: bool,
}

fn default_preview() -> i32 {
    60
}

impl Default for BlueGreen {
    fn default() -> Self {
        Self { preview_seconds: default_preview(), pause: false }
    }
}

fn key(header: Option<&String>, cookie: Option<&String>) -> Option<contract::RequestKey> {
    let header = header.cloned().map(contract::RequestKey::Header);
    header.or_else(|| cookie.cloned().map(contract::RequestKey::Cookie))
}

impl RequestKey {
    /// As the pods are told; `None` if it names nothing, which the API server refuses.
    pub fn told(&self) -> Option<contract::RequestKey> {
        key(self.header.as_ref(), self.cookie.as_ref())
    }
}

impl RequestMatch {
    /// As the pods are told; `None` if it names nothing, which the API server refuses.
    pub fn told(&self) -> Option<contract::RequestMatch> {
        let key = key(self.header.as_ref(), self.cookie.as_ref())?;
        Some(contract::RequestMatch { key, value: self.value.clone() })
    }
}
