//! The candidates of a search, made one after another and measured on a few images.

use drydock_contract::{FailureReason, Recipe};

use super::Run;
use crate::Error;
use crate::interrupt;
use crate::progress::Progress;
use crate::search::budget::{SEARCH_ROUNDS, benchmark};
use crate::search::estimate::Estimate;
use crate::search::trial::Trial;
use crate::search::verdict::Verdict;
use crate::search::{halving, lessons};

impl Run<'_, '_> {
    /// Makes each candidate that there is time for, and measures it on a few images.
    pub(super) fn explore(&mut self) -> Result<(), Error> {
        self.progress.stage(0.0, 60.0);
        let mut tried = 0;
        for at in 0.. {
            interrupt::check()?;
            // There are more of them after a lesson.
            if at == self.trials.len() {
                break;
            }
            let recipe = self.trials[at].entry.recipe.clone();
            let left = self.schedule.explore - self.elapsed();
            let expected =
                self.workshop.expect(&recipe) + self.pace.answer(self.rounds[0]) + benchmark(SEARCH_ROUNDS[0]);
            let limit = self.search.max_candidates;
            let verdict = if tried == limit {
                Some(Verdict::TooMany { limit })
            } else if let Some(verdict) = halving::skip(&self.trials, at, self.search) {
                Some(verdict)
            } else {
                (expected > left).then_some(Verdict::NoTime { expected_seconds: expected, left_seconds: left })
            };
            if verdict.is_some() {
                self.trials[at].verdict = verdict;
                continue;
            }
            tried += 1;
            let what = format!("search: {:.0} s left, try {}:", left, recipe.name);
            self.progress.step(&what, at + 1, self.trials.len(), "candidates");
            let began = self.elapsed();
            let outcome = interrupt::before(self.at(self.schedule.explore), || self.attempt(at, &recipe));
            let seconds = self.elapsed() - began;
            self.trials[at].seconds = seconds;
            match outcome {
                Ok(Some(())) => {
                    self.drop_lost()?;
                    self.teach_on(at)?;
                }
                Ok(None) => self.trials[at].verdict = Some(Verdict::OutOfTime { seconds }),
                Err(e) if is_of_candidate(&e) => self.trials[at].verdict = Some(Verdict::Failed(e.failure())),
                Err(e) => return Err(e),
            }
            self.tell(at);
            self.workshop.keep(self.trials[at + 1..].iter().map(|t| &t.entry.recipe));
        }
        Ok(())
    }

    fn attempt(&mut self, at: usize, recipe: &Recipe) -> Result<(), Error> {
        let model = self.workshop.make(recipe, &mut Progress::silent())?;
        let path = self.scratch.path().join(format!("{at}.onnx"));
        std::fs::write(&path, &model).map_err(|source| Error::Write { what: path.display().to_string(), source })?;
        self.trials[at].model = Some(path);
        self.measure(at, 0, self.rounds[0])
    }

    /// Where its student may win if it is taught longer: that comes after the lessons that others of them have still before them.
    fn teach_on(&mut self, at: usize) -> Result<(), Error> {
        let trial = &self.trials[at];
        if !lessons::goes_on(&self.trials, at, self.search)? {
            return Ok(());
        }
        let began = self.elapsed() - trial.seconds;
        let explore = self.schedule.explore;
        let end = *self.lessons_end.get_or_insert(began + lessons::SHARE * (explore - began));
        let waiting = self.trials[at + 1..].iter().filter(|t| t.entry.pupil.is_some()).count();
        let left = (end - self.elapsed()) / (1 + waiting) as f64;
        if let Some(entry) = lessons::next(&trial.entry, trial.seconds, left) {
            self.trials.insert(at + 1 + waiting, Trial::new(entry));
        }
        Ok(())
    }

    fn tell(&mut self, at: usize) {
        let trial = &self.trials[at];
        let numbers = trial.latest().map(|Estimate { change: c, speedup, bytes, original_bytes, images, .. }| {
            format!(
                "{:+.2} points ({:+.2} to {:+.2} on {images} images), {:.2}x as fast, {:.1} % of the size; ",
                c.value,
                c.low,
                c.high,
                speedup.value,
                100.0 * *bytes as f64 / (*original_bytes).max(1) as f64
            )
        });
        let verdict = trial.verdict.as_ref().map_or_else(|| "in the running".to_owned(), ToString::to_string);
        self.progress.note(&format!("search: {}: {}{verdict}", trial.name(), numbers.unwrap_or_default()));
    }
}

/// That a recipe does not suit the model is no reason to end the search.
fn is_of_candidate(e: &Error) -> bool {
    matches!(e.reason(), FailureReason::InvalidRecipe | FailureReason::InvalidModel)
}
