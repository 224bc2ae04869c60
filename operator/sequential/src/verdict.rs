/// How a metric stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Worse than allowed can be ruled out.
    Pass,
    /// As good as demanded can be ruled out.
    Fail,
    /// Neither, yet. Never taken for a pass.
    NotEnoughEvidence,
}

/// What is demanded of a verdict.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Levels {
    /// Greatest probability that what is good enough ever fails.
    pub fail: f64,
    /// Greatest probability that what is worse than allowed ever passes.
    pub pass: f64,
    /// No verdict on fewer.
    pub min_samples: u64,
}

/// A verdict, and what it rests on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Finding {
    pub outcome: Outcome,
    /// The evidence (e-value) against what the outcome rules out; for [`Outcome::NotEnoughEvidence`], that which has come further.
    /// From 0 to 10^9, where it ends.
    pub statistic: f64,
    /// What `statistic` must reach: 1/alpha.
    pub threshold: f64,
    /// Of the canary.
    pub samples: u64,
}

/// ln of the evidence for each of the two verdicts.
#[derive(Clone, Copy, Debug)]
pub struct Evidence {
    pub(crate) fail: f64,
    pub(crate) pass: f64,
}

/// A question with the counts that it is asked of.
#[derive(Clone, Copy, Debug)]
pub struct Test<E> {
    samples: u64,
    levels: Levels,
    /// That of so many times what has been seen; before anything has, of so many requests that went well.
    evidence: E,
}

const MOST: f64 = 1e9;
const FAR: f64 = 1e7;

impl<E: Fn(f64) -> Evidence> Test<E> {
    pub(crate) fn new(samples: u64, levels: Levels, evidence: E) -> Self {
        Self { samples, levels, evidence }
    }

    pub fn finding(&self) -> Finding {
        let nothing = Evidence { fail: 0.0, pass: 0.0 };
        let seen = if self.samples > 0 { (self.evidence)(1.0) } else { nothing };
        let is_enough = self.samples >= self.levels.min_samples.max(1);
        let outcome = if is_enough { self.outcome(seen) } else { Outcome::NotEnoughEvidence };
        let (fail, pass) = ((seen.fail, self.levels.fail), (seen.pass, self.levels.pass));
        let fails_rather = seen.fail + self.levels.fail.ln() > seen.pass + self.levels.pass.ln();
        let (log, alpha) = match outcome {
            Outcome::Fail => fail,
            Outcome::NotEnoughEvidence if fails_rather => fail,
            Outcome::Pass | Outcome::NotEnoughEvidence => pass,
        };
        Finding { outcome, statistic: log.exp().min(MOST), threshold: 1.0 / alpha, samples: self.samples }
    }

    /// How many more of the canary's are needed for either verdict if all goes on as it does: 0 after one, `None` where ten million
    /// would not do.
    pub fn more(&self) -> Option<u64> {
        if self.finding().outcome != Outcome::NotEnoughEvidence {
            return Some(0);
        }
        let unit = self.samples.max(1) as f64;
        let decides = |n: f64| self.outcome((self.evidence)(n / unit)) != Outcome::NotEnoughEvidence;
        let least = self.levels.min_samples.max(self.samples + 1) as f64;
        first(self.samples as f64, least, decides).map(|n| n as u64 - self.samples)
    }

    fn outcome(&self, e: Evidence) -> Outcome {
        if e.fail >= -self.levels.fail.ln() {
            Outcome::Fail
        } else if e.pass >= -self.levels.pass.ln() {
            Outcome::Pass
        } else {
            Outcome::NotEnoughEvidence
        }
    }
}

/// The least whole number over `below` and not under `least` that decides.
fn first(below: f64, least: f64, decides: impl Fn(f64) -> bool) -> Option<f64> {
    if decides(least) {
        return Some(least);
    }
    let (mut low, mut high) = (least.max(below), least.max(1.0) * 2.0);
    while !decides(high) {
        if high > FAR {
            return None;
        }
        (low, high) = (high, high * 2.0);
    }
    while high - low > 1.0 {
        let middle = f64::midpoint(low, high).floor();
        if decides(middle) { high = middle } else { low = middle }
    }
    Some(high)
}
