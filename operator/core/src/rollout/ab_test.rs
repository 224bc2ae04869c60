//! Which arm of an A/B test is better, by how much, and how surely.

use drydock_contract::{SplitWindow, latency_edges};
use drydock_crds::{
    AbTest, AbTestStatus, Analysis, Better, OnNoWinner, OnWinner, Rollout, RolloutStatus, Strategy, Winner,
};
use drydock_sequential::{Interval, Tally, difference, ratio_of_quantiles};
use jiff::{SignedDuration, Timestamp};

use super::analysis::{REFRESH, quantile, three_digits};
use super::feedback::{Pair, correct, tally, width};
use super::{whole_seconds, window};

/// What the spec makes of a test that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It waits for a person.
    Waits,
    CanaryWins,
    StableWins,
    Nobody,
}

/// The test that is to name a winner, if the rollout is one.
pub fn named(policy: &Rollout) -> Option<(&AbTest, &str)> {
    let test = policy.ab_test.as_ref().filter(|_| policy.strategy == Strategy::AbTest)?;
    Some((test, test.metric.as_deref()?))
}

/// Of the window that the canary is in.
pub fn of_window(at: &RolloutStatus) -> Option<&AbTestStatus> {
    at.ab_test.as_deref().filter(|t| t.window == window(at))
}

pub fn end(at: &RolloutStatus, policy: &Rollout) -> End {
    let (Some((test, _)), Some(found)) = (named(policy), of_window(at).filter(|t| t.ended)) else { return End::Waits };
    match (found.winner, test.on_winner, test.on_no_winner) {
        (Winner::Canary, OnWinner::Apply, _) => End::CanaryWins,
        (Winner::Stable, OnWinner::Apply, _) => End::StableWins,
        (Winner::None, _, OnNoWinner::KeepStable) => End::Nobody,
        _ => End::Waits,
    }
}

/// How it stands: what was written down before, while nothing of importance is new.
pub fn noted(at: &RolloutStatus, c: &SplitWindow, policy: &Rollout, now: Timestamp) -> Option<AbTestStatus> {
    let (test, metric) = named(policy)?;
    let arms = Arms::of(c, metric, &policy.analysis);
    let since = of_window(at).map_or(&at.since, |begun| &begun.since).clone();
    let elapsed = since.as_ref().map_or(SignedDuration::ZERO, |since| now.duration_since(since.0));
    let (winner, ended) = (arms.winner(&policy.analysis), arms.is_over(test, elapsed));
    let before = of_window(at).filter(|b| (b.winner, b.ended, b.metric.as_str()) == (winner, ended, metric));
    let is_new = |b: &&AbTestStatus| b.at.as_ref().is_some_and(|at| now.duration_since(at.0).abs() < REFRESH);
    if let Some(before) = before.filter(is_new) {
        return Some(before.clone());
    }
    let number = |x: f64| x.is_finite().then(|| three_digits(x));
    let found = AbTestStatus {
        at: Some(whole_seconds(now)),
        since,
        revision: at.canary.as_ref().map(|c| c.revision.clone()).unwrap_or_default(),
        window: window(at),
        metric: metric.to_owned(),
        effect: arms.effect.and_then(number),
        lower: number(arms.interval.lower),
        upper: number(arms.interval.upper),
        canary_samples: samples(arms.canary),
        stable_samples: samples(arms.stable),
        winner,
        ended,
        message: arms.tell(winner, policy.analysis.alpha),
    };
    let is_same = |b: &&AbTestStatus| AbTestStatus { at: b.at.clone(), ..found.clone() } == **b;
    Some(before.filter(is_same).cloned().unwrap_or(found))
}

fn samples(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// Both arms, in the unit of the metric.
struct Arms {
    /// As people call it.
    name: String,
    unit: &'static str,
    /// Of the canary over the stable revision; `None` while there is nothing to tell it from.
    effect: Option<f64>,
    interval: Interval,
    /// No effect.
    none: f64,
    better: Better,
    canary: u64,
    stable: u64,
}

impl Arms {
    fn of(c: &SplitWindow, metric: &str, rules: &Analysis) -> Self {
        let own = c.stable.clone().unwrap_or_default();
        match metric {
            "Latency" => {
                let (edges, q) = (latency_edges(), rules.latency_quantile / 100.0);
                let at = |buckets: &[u64]| quantile(buckets, &edges, q);
                let counted = |buckets: &[u64]| buckets.iter().fold(0u64, |sum, n| sum.saturating_add(*n));
                Self {
                    name: format!("p{} latency", rules.latency_quantile),
                    unit: " times",
                    effect: at(&c.latencies).zip(at(&own.latencies)).map(|(c, s)| c / s),
                    interval: ratio_of_quantiles(&c.latencies, &own.latencies, &edges, q, rules.alpha),
                    none: 1.0,
                    better: Better::Lower,
                    canary: counted(&c.latencies),
                    stable: counted(&own.latencies),
                }
            }
            "ErrorRate" => {
                let (canary, stable) = (Tally::new(c.failures(), c.requests), Tally::new(own.errors, own.requests));
                Self::means("error rate", " points", canary, stable, 100.0, Better::Lower, rules.alpha)
            }
            "Accuracy" => {
                let (m, both) = (correct(), Pair::of(c, &correct().name));
                let (canary, stable) = (tally(both.canary, &m), tally(both.stable, &m));
                Self::means("accuracy", " points", canary, stable, 100.0, Better::Higher, rules.alpha)
            }
            // The API server lets no name pass that is not declared.
            name => {
                let m = rules.metrics.iter().find(|m| m.name == name).cloned().unwrap_or_default();
                let both = Pair::of(c, name);
                let (canary, stable) = (tally(both.canary, &m), tally(both.stable, &m));
                Self::means(name, "", canary, stable, width(&m), m.better, rules.alpha)
            }
        }
    }

    /// `width`: of the range that the values have in the unit of the metric.
    fn means(
        name: &str,
        unit: &'static str,
        canary: Tally,
        stable: Tally,
        width: f64,
        better: Better,
        alpha: f64,
    ) -> Self {
        let found = difference(canary, stable, alpha);
        let is_known = canary.of > 0.0 && stable.of > 0.0;
        Self {
            name: name.to_owned(),
            unit,
            effect: is_known.then(|| (canary.share() - stable.share()) * width),
            interval: Interval { lower: found.lower * width, upper: found.upper * width },
            none: 0.0,
            better,
            canary: canary.of as u64,
            stable: stable.of as u64,
        }
    }

    fn fewest(&self) -> u64 {
        self.canary.min(self.stable)
    }

    fn winner(&self, rules: &Analysis) -> Winner {
        if self.interval.holds(self.none) || self.fewest() < u64::try_from(rules.min_requests).unwrap_or(1) {
            return Winner::None;
        }
        let is_higher = self.interval.lower > self.none;
        if is_higher == (self.better == Better::Higher) { Winner::Canary } else { Winner::Stable }
    }

    fn is_over(&self, test: &AbTest, elapsed: SignedDuration) -> bool {
        let in_time = test.duration_seconds.is_some_and(|s| elapsed >= SignedDuration::from_secs(s.into()));
        let in_size = test.sample_size.and_then(|n| u64::try_from(n).ok()).is_some_and(|n| self.fewest() >= n);
        in_time || in_size
    }

    /// `conversion +0.021, from +0.011 to +0.031 (95 % confidence sequence, 5000 and 5000 values): the canary is better`.
    fn tell(&self, winner: Winner, alpha: f64) -> String {
        let Some(effect) = self.effect else {
            return format!(
                "{}: {} values of the canary, {} of the stable revision",
                self.name, self.canary, self.stable
            );
        };
        let tell = |x: f64| {
            let x = three_digits(x);
            if self.none == 0.0 { format!("{x:+}") } else { format!("{x}") }
        };
        let upper = if self.interval.upper.is_finite() { tell(self.interval.upper) } else { "no end".to_owned() };
        let who = match winner {
            Winner::Canary => "the canary is better",
            Winner::Stable => "the stable revision is better",
            Winner::None => "neither is better for sure",
        };
        format!(
            "{} {}{}, from {} to {upper} at alpha {alpha} ({} and {} values): {who}",
            self.name,
            tell(effect),
            self.unit,
            tell(self.interval.lower),
            self.canary,
            self.stable
        )
    }
}
