//! What became of a candidate, with the numbers that decided.

use std::fmt;

use drydock_contract::{Failure, GateResult, Numbers, Objective};
use serde::Serialize;

use super::estimate::Bounds;

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Verdict {
    /// The best by the objective of those that keep every gate.
    Chosen,
    /// None keeps every gate; this one breaks the fewest, and loses the least accuracy of those.
    Nearest {
        broken: Vec<GateResult>,
    },
    /// `certain`: whatever the images say that it has not been measured on.
    BreaksGate {
        broken: Vec<GateResult>,
        change: Bounds,
        images: usize,
        certain: bool,
    },
    /// Better by the objective; it may break these gates on the images that there was no time to see.
    Unsure {
        broken: Vec<GateResult>,
        change: Bounds,
        images: usize,
    },
    /// The other one is no larger, and surely faster and more accurate.
    Dominated {
        by: String,
        change: Bounds,
        images: usize,
    },
    /// The other one is the same network, taught longer, and no less accurate.
    Outgrown {
        by: String,
        change: Bounds,
        images: usize,
    },
    /// Others are better by the objective; measured no further.
    Outranked {
        by: String,
        objective: Objective,
        own: f64,
        best: f64,
        images: usize,
    },
    /// Not tried: this one, which asks less of the model, has lost already.
    Hopeless {
        like: String,
    },
    /// Not tried: this one, which takes less time, keeps the gates.
    Unneeded {
        by: String,
    },
    /// Not tried: `maxCandidates` were.
    TooMany {
        limit: u32,
    },
    /// Not tried: it would have taken longer than there was time.
    NoTime {
        expected_seconds: f64,
        left_seconds: f64,
    },
    /// Broken off: the time was up, or it was plain that it would be before the end.
    OutOfTime {
        seconds: f64,
    },
    Failed(Failure),
}

impl Verdict {
    /// Of a candidate that is worse than another by what the objective looks at.
    pub(super) fn outranked(by: &str, objective: Objective, own: &Numbers, best: &Numbers, images: usize) -> Self {
        let value = |n: &Numbers| match objective {
            Objective::Latency => n.latency_milliseconds,
            Objective::Size => n.size_bytes.map(|b| b as f64),
            Objective::Accuracy => n.accuracy_change,
        };
        let value = |n| value(n).unwrap_or(f64::NAN);
        Self::Outranked { by: by.to_owned(), objective, own: value(own), best: value(best), images }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chosen => f.write_str("chosen"),
            Self::Nearest { broken } => write!(f, "none keeps every gate; the nearest: {}", list(broken)),
            Self::BreaksGate { broken, change: Bounds { low, high, .. }, images, certain } => {
                let sure = if *certain { "" } else { ", not surely" };
                write!(f, "{} ({low:+.2} to {high:+.2} points on {images} images{sure})", list(broken))
            }
            Self::Unsure { broken, change: Bounds { low, high, .. }, images } => write!(
                f,
                "no time to see all images: {low:+.2} to {high:+.2} points on {images}; at worst {}",
                list(broken)
            ),
            Self::Dominated { by, change: Bounds { low, high, .. }, images } => {
                write!(f, "{by} is no larger, faster, and {low:.2} to {high:.2} points better on {images} images")
            }
            Self::Outgrown { by, change: Bounds { low, high, .. }, images } => {
                write!(f, "{by} is taught longer: {low:+.2} to {high:+.2} points on {images} images")
            }
            Self::Outranked { by, objective, own, best, images } => match objective {
                Objective::Latency => write!(f, "{own:.3} ms; {by} takes {best:.3} ms (seen on {images} images)"),
                Objective::Size => write!(f, "{own:.0} bytes; {by} has {best:.0} (seen on {images} images)"),
                Objective::Accuracy => {
                    write!(f, "{own:+.2} points; {by} has {best:+.2} (seen on {images} images)")
                }
            },
            Self::Hopeless { like } => write!(f, "not tried: {like} asks less of the model and has lost"),
            Self::Unneeded { by } => write!(f, "not tried: {by} takes less time and keeps the gates"),
            Self::TooMany { limit } => write!(f, "not tried: {limit} candidates were, the limit"),
            Self::NoTime { expected_seconds, left_seconds } => {
                write!(f, "not tried: some {expected_seconds:.0} s, with {:.0} s left", left_seconds.max(0.0))
            }
            Self::OutOfTime { seconds } => write!(f, "broken off after {seconds:.0} s: there was no time for the rest"),
            Self::Failed(Failure { reason, message }) => write!(f, "{reason}: {message}"),
        }
    }
}

fn list(broken: &[GateResult]) -> String {
    broken.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
