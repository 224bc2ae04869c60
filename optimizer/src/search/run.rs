//! The search itself: clock, engine and files; what it decides it asks the pure modules.

mod explore;

use std::time::{Duration, Instant};

use drydock_contract::{CandidateReport, Failure, Recipe, Search};
use drydock_detection::Decoder;
use tempfile::TempDir;

use super::bench::{Bench, Judge};
use super::budget::{Pace, SEARCH_ROUNDS, Schedule, benchmark};
use super::halving;
use super::lessons;
use super::record::Record;
use super::space::{Profile, space};
use super::trial::Trial;
use super::verdict::Verdict;
use super::workshop::Workshop;
use crate::Error;
use crate::candidate::{self, Found, Request, accepted, class_names, disjoint, further, open};
use crate::engine::Engine;
use crate::interrupt;
use crate::measure::run_shape;
use crate::memory;
use crate::onnx;
use crate::passes;
use crate::progress::Progress;
use crate::technique::Given;

/// Searches, and publishes what it found under the request's name. The request has no recipe.
///
/// # Errors
/// The model or the data cannot be used; there is no time for one candidate, or none can be made.
pub fn run(
    engine: &Engine,
    request: &Request<'_>,
    search: &Search,
    progress: &mut Progress,
) -> Result<(CandidateReport, Record), Error> {
    let clock = Instant::now();
    let (Some(calibration), Some(evaluation)) = (request.calibration, request.evaluation) else {
        return Err(Error::NoDataset);
    };
    progress.part(5.0, 75.0);
    let source = onnx::load(&request.model.path)?;
    let (inputs, outputs) = source.signature()?;
    let original = source.single_file();
    accepted(engine, &source, &original)?;
    let detector = request.detection.map(|d| Decoder::new(d, &outputs, request.labels.len())).transpose()?;
    let data = |file, classes: &[String]| open(file, &inputs, request.preprocessing, classes);
    let images = data(Some(evaluation), request.labels)?.ok_or(Error::NoDataset)?;
    if detector.is_some() {
        images.require_boxes()?;
    } else {
        images.require_labels()?;
    }
    let classes = class_names(request.labels, Some(&images))?;
    let examples = data(Some(calibration), &classes)?.ok_or(Error::NoDataset)?;
    let training = data(request.training, &classes)?;
    if calibration.digest != evaluation.digest {
        disjoint(&examples, &images)?;
    }
    if let Some(training) = &training {
        disjoint(training, &images)?;
    }
    let models = further(request.models)?;
    let given = Given {
        calibration: Some(&examples),
        training: training.as_ref(),
        models: Some(&models),
        target: request.target,
        is_detector: detector.is_some(),
    };
    let shape = run_shape(&inputs, Some(&images))
        .ok_or_else(|| Error::Recipe("search: the model's input is too large to be measured".into()))?;
    let (graph, _) = passes::clean(source.check()?.graph, engine)?;
    passes::finite(&graph)?;
    let profile = Profile::of(&graph, images.item_shape(), training.is_some())?;
    let entries = space(profile, search.objective, models.keys().map(String::as_str));
    let output = outputs.first().map_or("", |o| o.name.as_str());

    let rounds = halving::rounds(images.len());
    let judge = Judge::new(output, detector.as_ref(), &images)?;
    let mut bench = Bench::new(engine, &original, judge, &images, &shape)?;
    let begin = Instant::now();
    bench.reach(rounds[0])?;
    let pace = Pace { per_image: begin.elapsed().as_secs_f64() / rounds[0].max(1) as f64, images: images.len() };
    let total = f64::from(search.time_budget_seconds);
    let elapsed = clock.elapsed().as_secs_f64();
    let too_short =
        |needed: f64| Error::TimeBudget { needed: needed.ceil() as u64, given: total as u64, images: images.len() };
    let schedule = Schedule::new(total, elapsed, pace).ok_or_else(|| too_short(elapsed + pace.publish()))?;
    let scratch =
        tempfile::tempdir().map_err(|source| Error::Write { what: "a scratch directory in TMPDIR".into(), source })?;
    let mut run = Run {
        clock,
        search,
        bench,
        workshop: Workshop::new(engine, graph, given),
        trials: entries.into_iter().map(Trial::new).collect(),
        rounds,
        pace,
        schedule,
        lessons_end: None,
        program: request.program,
        scratch,
        progress,
    };
    run.explore()?;
    if !run.trials.iter().any(|t| t.latest().is_some()) {
        return Err(nothing(&run.trials).unwrap_or_else(|| too_short(total + 1.0)));
    }
    run.halve()?;
    let chosen = run.choose()?;
    halving::settle(&mut run.trials, chosen, search);
    let (latency, bytes) = (run.bench.original_latency(), run.bench.original_bytes());
    let record = Record::of(&run.trials, search, run.elapsed(), &run.rounds, latency, bytes);
    let recipe: Recipe = run.trials[chosen].entry.recipe.clone();
    let model = run.model(chosen)?;
    progress.note(&format!("search: {} after {:.0} s; it is now measured in full", recipe.name, record.seconds));
    progress.part(75.0, 100.0);
    let found = Some(Found { model: &model, search: &record });
    let report = candidate::make(engine, &Request { recipe: Some(&recipe), found, ..*request }, progress)?;
    Ok((report, record))
}

/// Why nothing was made, if it was not for time.
fn nothing(trials: &[Trial]) -> Option<Error> {
    if trials.is_empty() {
        return Some(Error::Recipe(
            "search: found no layer whose weights could be changed; expected one at least".into(),
        ));
    }
    trials.iter().find_map(|t| match &t.verdict {
        Some(Verdict::Failed(Failure { message, .. })) => {
            Some(Error::Recipe(format!("search: no candidate could be made; {}: {message}", t.name())))
        }
        _ => None,
    })
}

struct Run<'a, 'p> {
    clock: Instant,
    search: &'a Search,
    bench: Bench<'a>,
    workshop: Workshop<'a>,
    trials: Vec<Trial>,
    rounds: Vec<usize>,
    pace: Pace,
    schedule: Schedule,
    /// Seconds from the start, once a student has had its first lesson.
    lessons_end: Option<f64>,
    program: Option<&'a std::path::Path>,
    scratch: TempDir,
    progress: &'p mut Progress,
}

impl Run<'_, '_> {
    fn elapsed(&self) -> f64 {
        self.clock.elapsed().as_secs_f64()
    }

    fn at(&self, seconds: f64) -> Instant {
        self.clock + Duration::from_secs_f64(seconds)
    }

    fn measure(&mut self, at: usize, round: usize, images: usize) -> Result<(), Error> {
        let model = self.model(at)?;
        let trial = &mut self.trials[at];
        let rounds = SEARCH_ROUNDS.get(round).copied().unwrap_or(SEARCH_ROUNDS[2]);
        let estimate = self.bench.measure(&model, &mut trial.answered, images, rounds)?;
        trial.estimates.push(estimate);
        Ok(())
    }

    fn model(&self, at: usize) -> Result<Vec<u8>, Error> {
        let path = self.trials[at].model.as_deref().unwrap_or(self.scratch.path());
        std::fs::read(path).map_err(|e| Error::Internal(format!("cannot read {}: {e}", path.display())))
    }

    fn drop_lost(&mut self) -> Result<(), Error> {
        let outgrown = lessons::outgrown(&self.trials)?;
        for (at, verdict) in outgrown.into_iter().chain(halving::lost(&self.trials, self.search)?) {
            self.trials[at].verdict = Some(verdict);
        }
        Ok(())
    }

    /// The better half on more images, and again, until they are all that there are or the time is up.
    fn halve(&mut self) -> Result<(), Error> {
        self.progress.stage(60.0, 90.0);
        for round in 1..self.rounds.len() {
            for (at, verdict) in halving::outranked(&self.trials, self.search) {
                self.trials[at].verdict = Some(verdict);
            }
            let running = halving::ranked(&self.trials, self.search, |t| t.running().is_some());
            let what = format!("search: round {} on {} images:", round + 1, self.rounds[round]);
            for (done, at) in running.iter().enumerate() {
                self.progress.step(&what, done + 1, running.len(), "candidates");
                if !self.measure_in_time(*at, round)? {
                    return Ok(());
                }
            }
            self.drop_lost()?;
        }
        Ok(())
    }

    /// Whether there was the time.
    fn measure_in_time(&mut self, at: usize, round: usize) -> Result<bool, Error> {
        let began = self.elapsed();
        let (images, trial) = (self.rounds[round], &self.trials[at]);
        let unseen = |seen: usize| self.pace.answer(images.saturating_sub(seen));
        // What the original has not seen it is asked first.
        let own = unseen(trial.answered.len()) / trial.latest().map_or(1.0, |e| e.speedup.low.max(1.0));
        let expected = unseen(self.bench.reached()) + own + benchmark(SEARCH_ROUNDS[round.min(2)]);
        if began + expected > self.schedule.choose {
            return Ok(false);
        }
        let in_time = interrupt::before(self.at(self.schedule.choose), || self.measure(at, round, images))?;
        self.trials[at].seconds += self.elapsed() - began;
        Ok(in_time.is_some())
    }

    /// The best that keeps the gates on all images; where time does not allow that, the best that surely keeps them.
    fn choose(&mut self) -> Result<usize, Error> {
        self.progress.stage(90.0, 100.0);
        let last = self.rounds.len() - 1;
        while let Some(at) = halving::leader(&self.trials, self.search) {
            let is_whole = self.trials[at].latest().is_some_and(|e| e.all_images);
            if is_whole && !self.weigh(at)? {
                return Ok(at);
            }
            if !is_whole && !self.measure_in_time(at, last)? {
                return Ok(halving::surest(&self.trials, self.search).unwrap_or(at));
            }
        }
        halving::nearest(&self.trials, self.search)
            .ok_or_else(|| Error::Internal("search: nothing was measured".to_owned()))
    }

    /// Measures the memory of a candidate where there is a gate on it; whether that is news.
    fn weigh(&mut self, at: usize) -> Result<bool, Error> {
        let (Some(_), Some(program)) = (self.search.limits.max_memory_bytes, self.program) else { return Ok(false) };
        let Trial { model: Some(model), estimates, .. } = &mut self.trials[at] else { return Ok(false) };
        let Some(estimate) = estimates.last_mut().filter(|e| e.memory_bytes.is_none()) else { return Ok(false) };
        estimate.memory_bytes = Some(memory::measure(program, model, self.bench.shape())?.peak_bytes);
        Ok(true)
    }
}
