//! What a search tried, for `search.json` and for people.

use drydock_contract::{Numbers, Recipe, Search, front};
use serde::Serialize;

use super::estimate::Estimate;
use super::trial::Trial;
use super::verdict::Verdict;

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    pub search: Search,
    /// From the beginning to the choice.
    pub seconds: f64,
    /// Evaluation images of each round.
    pub images: Vec<usize>,
    pub original: Original,
    /// In the order in which they were, or would have been, tried.
    pub candidates: Vec<Tried>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Original {
    pub latency_milliseconds: f64,
    pub bytes: u64,
    /// No candidate is as accurate, as fast and as small, or better.
    pub front: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tried {
    pub recipe: Recipe,
    /// On the Pareto front of accuracy, latency and size, as far as each was measured.
    pub front: bool,
    /// One for each round that it was in.
    pub rounds: Vec<Estimate>,
    /// To make it and to measure it.
    pub seconds: f64,
    /// `None` only while the search runs.
    pub verdict: Option<Verdict>,
    /// The verdict in words.
    pub why: String,
}

impl Record {
    pub(super) fn of(
        trials: &[Trial],
        search: &Search,
        seconds: f64,
        images: &[usize],
        original_latency: f64,
        original_bytes: u64,
    ) -> Self {
        let original = Numbers {
            accuracy: Some(0.0),
            latency_milliseconds: Some(original_latency),
            size_bytes: i64::try_from(original_bytes).ok(),
            ..Numbers::default()
        };
        let numbers = trials.iter().map(|t| t.latest().map(Estimate::numbers).unwrap_or_default());
        let front = front(&std::iter::once(original).chain(numbers).collect::<Vec<_>>());
        let is_on_front = |i: usize| front.get(i).copied().unwrap_or_default();
        let tried = |(i, t): (usize, &Trial)| Tried {
            recipe: t.entry.recipe.clone(),
            front: t.latest().is_some() && is_on_front(i + 1),
            rounds: t.estimates.clone(),
            seconds: t.seconds,
            verdict: t.verdict.clone(),
            why: t.verdict.as_ref().map(ToString::to_string).unwrap_or_default(),
        };
        Self {
            search: search.clone(),
            seconds,
            images: images.to_vec(),
            original: Original { latency_milliseconds: original_latency, bytes: original_bytes, front: is_on_front(0) },
            candidates: trials.iter().enumerate().map(tried).collect(),
        }
    }

    /// A line for each candidate, those on the front marked with `*`.
    pub fn table(&self) -> String {
        let head = ["", "candidate", "points", "speed", "size", "images", "why"].map(str::to_owned);
        let mut rows = vec![head];
        for tried in &self.candidates {
            let mark = if tried.front { "*" } else { "" };
            let numbers = tried.rounds.last().map_or_else(Default::default, |e| {
                [
                    format!("{:+.2}", e.change.value),
                    format!("{:.2}x", e.speedup.value),
                    format!("{:.1} %", 100.0 * e.bytes as f64 / e.original_bytes.max(1) as f64),
                    e.images.to_string(),
                ]
            });
            let [change, speed, size, images]: [String; 4] = numbers;
            rows.push([mark.to_owned(), tried.recipe.name.clone(), change, speed, size, images, tried.why.clone()]);
        }
        let line = |[mark, name, change, speed, size, images, why]: &[String; 7]| {
            format!("{mark:<1} {name:<24} {change:>6} {speed:>7} {size:>7} {images:>6}  {why}").trim_end().to_owned()
                + "\n"
        };
        rows.iter().map(line).collect()
    }
}
