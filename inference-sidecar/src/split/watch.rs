use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use drydock_contract::{CORRECT, FeedbackMetric, Split};

use super::Splitter;
use crate::lifecycle::Lifecycle;

/// A downward-API volume is replaced by renaming a symbolic link, which file watches follow badly; reading it is cheap.
const POLL: Duration = Duration::from_millis(150);
/// The longest timeout that a ModelDeployment may ask for. Behind a longer one, a canary that hangs would cost requests.
const MAX_TIMEOUT_MILLISECONDS: u32 = 600_000;

/// Of synthetic requests: more often would be a load, and no look now and then.
const MIN_SYNTHETIC_MILLISECONDS: u32 = 10;
/// As many as a ModelDeployment may have.
const MAX_METRICS: usize = 8;

/// Keeps the splitter as the file says, and whether clients are sent away, for ever.
pub(crate) async fn watch(path: PathBuf, splitter: Arc<Splitter>, lifecycle: Lifecycle) {
    let mut last = None;
    loop {
        let text = match tokio::fs::read(&path).await {
            Ok(text) => text,
            // Between two versions of the volume, or out of file descriptors: what was said last holds, and its counts.
            Err(_) if last.is_some() => {
                tokio::time::sleep(POLL).await;
                continue;
            }
            // There is no such file: no annotation, no canary.
            Err(_) => Vec::new(),
        };
        if last.as_ref() != Some(&text) {
            match parse(&text) {
                Ok(split) => {
                    lifecycle.set_replaced(split.as_ref().is_some_and(|s| s.replaced));
                    splitter.set(split);
                    tracing::info!(split = %text.trim_ascii().escape_ascii(), "split in force");
                }
                // Anyone who may annotate the pod can write this.
                Err(error) => {
                    lifecycle.set_replaced(false);
                    splitter.set(None);
                    tracing::error!(path = %path.display(), error, "invalid split; the stable model answers everything");
                }
            }
            last = Some(text);
        }
        tokio::time::sleep(POLL).await;
    }
}

fn parse(text: &[u8]) -> Result<Option<Split>, String> {
    if text.trim_ascii().is_empty() {
        return Ok(None);
    }
    let split: Split = serde_json::from_slice(text).map_err(|e| e.to_string())?;
    let Split { weight, compare, shadow, .. } = split;
    if [weight, compare, shadow].iter().any(|percent| *percent > 100) {
        return Err(format!("weight {weight}, compare {compare} and shadow {shadow}: expected percent, 0 to 100"));
    }
    if !(1..=MAX_TIMEOUT_MILLISECONDS).contains(&split.timeout_milliseconds) {
        let found = split.timeout_milliseconds;
        return Err(format!("timeoutMilliseconds {found}: expected 1 to {MAX_TIMEOUT_MILLISECONDS}"));
    }
    if (1..MIN_SYNTHETIC_MILLISECONDS).contains(&split.synthetic_milliseconds) {
        let found = split.synthetic_milliseconds;
        return Err(format!(
            "syntheticMilliseconds {found}: expected 0, for never, or at least {MIN_SYNTHETIC_MILLISECONDS}"
        ));
    }
    // A name for each label of the metrics, and bounds that a value can lie between.
    let is_metric = |m: &FeedbackMetric| m.min < m.max && !m.name.is_empty() && m.name != CORRECT;
    if split.metrics.len() > MAX_METRICS || !split.metrics.iter().all(is_metric) {
        return Err(format!("metrics: expected at most {MAX_METRICS}, each with a name and a min below its max"));
    }
    Ok(Some(split))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_split_is_in_force() {
        let json = r#"{"weight":5,"revision":"r2","window":"1","timeoutMilliseconds":500}"#;
        assert_eq!(parse(json.as_bytes()).unwrap().map(|s| (s.weight, s.compare)), Some((5, 0)));
        assert_eq!(parse(b" \n").unwrap(), None);
        for bad in [
            "{",
            "null",
            r#"{"weight":5}"#,
            &json.replace("5,", "101,"),
            &json.replace("5,", "-1,"),
            &json.replace("500", r#"500,"shadow":101"#),
            &json.replace("500", r#"500,"sticky":{"query":"user"}"#),
            &json.replace("500", "0"),
            &json.replace("500", "600001"),
            &json.replace("500", r#"500,"metrics":[{"name":"price","min":1,"max":1}]"#),
            &json.replace("500", r#"500,"syntheticMilliseconds":9"#),
            &json.replace("500", r#"500,"metrics":[{"name":"correct","min":0,"max":1}]"#),
            &"[".repeat(100_000),
        ] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(parse(&[b"\"\xff", json.as_bytes()].concat()).is_err());
    }
}
