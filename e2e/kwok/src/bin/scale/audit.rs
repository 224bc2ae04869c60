//! What one user has asked of the API server, by its audit log.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom};

use anyhow::{Context as _, Result};
use serde_json::Value;

#[derive(Debug, Default)]
pub struct Requests {
    pub reads: usize,
    pub writes: usize,
    /// Of both: 429, which is what throttling by the API server looks like.
    pub refused: usize,
    /// `patch deployments`: how many.
    pub by_kind: BTreeMap<String, usize>,
}

pub fn length(log: &str) -> Result<u64> {
    Ok(std::fs::metadata(log).with_context(|| format!("cannot read the audit log {log}"))?.len())
}

/// Since `from` bytes into it. Leases apart, which are renewed all the time, and watches, each of which is one request for minutes.
pub fn requests(log: &str, from: u64, user: &str) -> Result<Requests> {
    let mut file = std::fs::File::open(log)?;
    file.seek(SeekFrom::Start(from))?;
    let mut found = Requests::default();
    for line in BufReader::new(file).lines() {
        // The last line may not be whole yet.
        let Ok(event) = serde_json::from_str::<Value>(&line?) else { continue };
        let of = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (verb, resource) = (of("/verb"), of("/objectRef/resource"));
        if of("/user/username") != user || resource == "leases" || verb == "watch" {
            continue;
        }
        if matches!(verb, "get" | "list") {
            found.reads += 1;
        } else {
            found.writes += 1;
        }
        if event.pointer("/responseStatus/code") == Some(&Value::from(429)) {
            found.refused += 1;
        }
        let subresource = of("/objectRef/subresource");
        let slash = if subresource.is_empty() { "" } else { "/" };
        *found.by_kind.entry(format!("{verb} {resource}{slash}{subresource}")).or_default() += 1;
    }
    Ok(found)
}
