use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use drydock_contract::Split;

use super::Splitter;

/// A downward-API volume is replaced by renaming a symbolic link, which file watches follow badly; reading it is cheap.
const POLL: Duration = Duration::from_millis(150);

/// Keeps the splitter as the file says, for ever.
pub(crate) async fn watch(path: PathBuf, splitter: Arc<Splitter>) {
    let mut last = None;
    loop {
        let text = match tokio::fs::read_to_string(&path).await {
            Ok(text) => text,
            // Between two versions of the volume, or out of file descriptors: what was said last holds, and its counts.
            Err(_) if last.is_some() => {
                tokio::time::sleep(POLL).await;
                continue;
            }
            // There is no such file: no annotation, no canary.
            Err(_) => String::new(),
        };
        if last.as_ref() != Some(&text) {
            splitter.set(parse(&text).unwrap_or_else(|e| {
                tracing::error!(path = %path.display(), error = %e, "invalid split; the stable model answers everything");
                None
            }));
            tracing::info!(split = text.trim(), "split in force");
            last = Some(text);
        }
        tokio::time::sleep(POLL).await;
    }
}

fn parse(text: &str) -> Result<Option<Split>, String> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    let split: Split = serde_json::from_str(text).map_err(|e| e.to_string())?;
    if split.weight > 100 || split.compare > 100 {
        return Err(format!("weight {} and compare {}: expected percent, 0 to 100", split.weight, split.compare));
    }
    Ok(Some(split))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_split_is_in_force() {
        let json = r#"{"weight":5,"revision":"r2","window":"1","timeoutMilliseconds":500}"#;
        assert_eq!(parse(json).unwrap().map(|s| (s.weight, s.compare)), Some((5, 0)));
        assert_eq!(parse(" \n").unwrap(), None);
        for bad in ["{", "null", r#"{"weight":5}"#, &json.replace('5', "101"), &json.replace("5,", "-1,")] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
