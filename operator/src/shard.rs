//! Which ModelDeployments an operator looks after, where several share a cluster (docs/adr/0039-shards.md).

use std::collections::BTreeMap;
use std::str::FromStr;

/// Label of a ModelDeployment: the shard that it is in.
pub const SHARD_LABEL: &str = "drydock.dev/shard";

/// One shard, or all that is in none. Each ModelDeployment is of exactly one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shard(Option<String>);

/// No value of a label: <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set>.
#[derive(Debug, thiserror::Error)]
#[error(
    "found {0:?}; expected the value of a label: at most 63 letters, digits, '-', '_' and '.', the first and the last a letter or a digit"
)]
pub struct NoShard(String);

impl FromStr for Shard {
    type Err = NoShard;

    /// Empty: all that is in none.
    fn from_str(name: &str) -> Result<Self, NoShard> {
        if name.is_empty() {
            return Ok(Self::default());
        }
        let is_within = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let is_end = |c: char| c.is_ascii_alphanumeric();
        if name.len() <= 63 && name.chars().all(is_within) && name.starts_with(is_end) && name.ends_with(is_end) {
            Ok(Self(Some(name.to_owned())))
        } else {
            Err(NoShard(name.to_owned()))
        }
    }
}

impl Shard {
    pub fn selector(&self) -> String {
        match &self.0 {
            Some(name) => format!("{SHARD_LABEL}={name}"),
            None => format!("!{SHARD_LABEL}"),
        }
    }

    /// What the selector says, of the labels that an object has now.
    pub fn has(&self, labels: Option<&BTreeMap<String, String>>) -> bool {
        labels.and_then(|l| l.get(SHARD_LABEL)) == self.0.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_object_is_of_one_shard() {
        let shards = ["", "a", "b"].map(|name| name.parse::<Shard>().unwrap());
        assert_eq!(
            shards.each_ref().map(Shard::selector),
            ["!drydock.dev/shard", "drydock.dev/shard=a", "drydock.dev/shard=b"]
        );
        for (labels, expected) in [
            (None, [true, false, false]),
            (Some(vec![]), [true, false, false]),
            (Some(vec![("team", "a")]), [true, false, false]),
            (Some(vec![(SHARD_LABEL, "a")]), [false, true, false]),
            (Some(vec![(SHARD_LABEL, "c")]), [false, false, false]),
            (Some(vec![(SHARD_LABEL, "")]), [false, false, false]),
        ] {
            let labels: Option<BTreeMap<_, _>> =
                labels.map(|l| l.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect());
            assert_eq!(shards.each_ref().map(|s| s.has(labels.as_ref())), expected, "{labels:?}");
        }
    }

    #[test]
    fn a_name_is_the_value_of_a_label() {
        for good in ["a", "eu-west_1.b", &"x".repeat(63)] {
            assert!(good.parse::<Shard>().is_ok(), "{good}");
        }
        for bad in ["-a", "a.", "a b", "a,b", "a=b", "é", &"x".repeat(64)] {
            let error = bad.parse::<Shard>().unwrap_err().to_string();
            assert!(error.contains(bad), "{error}");
        }
    }
}
