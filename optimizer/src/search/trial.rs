//! One recipe of the space, and what is known of it.

use std::path::PathBuf;

use drydock_contract::{GateResult, Numbers, Search};

use super::answered::Answered;
use super::estimate::{Estimate, known};
use super::space::Entry;
use super::verdict::Verdict;

#[derive(Clone, Debug)]
pub(super) struct Trial {
    pub entry: Entry,
    /// What the recipe made.
    pub model: Option<PathBuf>,
    /// In the order of the bench.
    pub answered: Answered,
    /// One for each time that it was measured.
    pub estimates: Vec<Estimate>,
    /// To make it and to measure it.
    pub seconds: f64,
    /// `None` while it is in the running.
    pub verdict: Option<Verdict>,
}

impl Trial {
    pub fn new(entry: Entry) -> Self {
        Self { entry, model: None, answered: Answered::default(), estimates: Vec::new(), seconds: 0.0, verdict: None }
    }

    pub fn name(&self) -> &str {
        &self.entry.recipe.name
    }

    pub fn latest(&self) -> Option<&Estimate> {
        self.estimates.last()
    }

    /// The newest estimate, while it is in the running.
    pub fn running(&self) -> Option<&Estimate> {
        self.latest().filter(|_| self.verdict.is_none())
    }

    /// Gates that it breaks as far as is known.
    pub fn broken(&self, search: &Search) -> Vec<GateResult> {
        self.broken_by(Estimate::numbers, search)
    }

    /// Gates that it breaks however lucky it is from here on.
    pub fn surely_broken(&self, search: &Search) -> Vec<GateResult> {
        self.broken_by(Estimate::at_best, search)
    }

    /// Gates that it breaks if it has been lucky so far.
    pub fn perhaps_broken(&self, search: &Search) -> Vec<GateResult> {
        self.broken_by(Estimate::at_worst, search)
    }

    fn broken_by(&self, numbers: fn(&Estimate) -> Numbers, search: &Search) -> Vec<GateResult> {
        let numbers = self.latest().map(numbers).unwrap_or_default();
        known(&search.limits, &numbers).broken(&numbers, search.objective)
    }
}
