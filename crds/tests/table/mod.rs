//! What is in validation.yaml. Read here for the CEL rules, in process, and by the e2e tests for a real API server.

use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
pub struct Table {
    pub base: Value,
    pub accept: Vec<Accept>,
    pub reject: Vec<Reject>,
    pub reject_update: Vec<Reject>,
}

#[derive(Deserialize)]
pub struct Accept {
    pub name: String,
    pub change: Value,
}

#[derive(Deserialize)]
pub struct Reject {
    pub name: String,
    pub change: Value,
    pub message: String,
    /// `schema`: refused by plain OpenAPI.
    #[serde(default)]
    pub by: Option<String>,
}

pub fn read() -> Table {
    serde_yaml::from_str(include_str!("../validation.yaml")).expect("tests/validation.yaml")
}
