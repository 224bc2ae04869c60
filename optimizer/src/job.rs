//! One index of the optimization Job: the task from the environment, the report to the termination message.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use drydock_contract::{CandidateReport, Failure, FailureReason, Input, Measurements, Recipe, Task, Work};

use crate::Error;
use crate::benchmark::machine;
use crate::candidate::{self, Request};
use crate::engine::Engine;
use crate::fetch::{Fetched, Purpose, fetch};
use crate::interrupt::{self, Interrupted};
use crate::progress::Progress;
use crate::search;
use crate::store::{ResultKey, Sources, Store};
use crate::strict;

/// The kubelet sets it on pods of an Indexed Job.
pub const INDEX_ENV: &str = "JOB_COMPLETION_INDEX";
/// Names the file to write the report to.
pub const REPORT_ENV: &str = "DRYDOCK_TERMINATION_LOG";
pub const DEFAULT_REPORT: &str = "/dev/termination-log";

/// What the environment says.
#[derive(Clone, Debug)]
pub struct Config {
    /// JSON of a [`Task`].
    pub task: String,
    pub index: String,
    pub report: PathBuf,
    /// This program, for the memory measurement.
    pub program: PathBuf,
}

impl Config {
    /// For reports on what has no name yet.
    fn candidate(&self) -> String {
        match parse(self) {
            Ok((_, _, name)) => name,
            Err(_) => format!("index {}", self.index),
        }
    }
}

/// Does the work, writes the report and gives the exit code: 0, or the failure reason's.
pub fn run(config: &Config) -> u8 {
    let late = config.clone();
    let watched = interrupt::watch(move || {
        // The step that takes so long has the lock of nothing that this needs.
        let report = failed(late.candidate(), Error::Interrupted(Interrupted).failure());
        std::process::exit(finish(&late, &report).into())
    });
    let report = match watched {
        Ok(()) => guarded(config),
        Err(e) => failed(config.candidate(), Error::Internal(format!("cannot watch for signals: {e}")).failure()),
    };
    finish(config, &report)
}

fn finish(config: &Config, report: &CandidateReport) -> u8 {
    let message = report.to_termination_message();
    // The file is there on Kubernetes; by hand its directory may not be.
    if let Some(directory) = config.report.parent() {
        let _ = std::fs::create_dir_all(directory);
    }
    if let Err(e) = std::fs::write(&config.report, &message) {
        eprintln!("cannot write the report to {}: {e}\n{message}", config.report.display());
    }
    match &report.failure {
        None => 0,
        Some(failure) => {
            eprintln!("{}: {}", failure.reason, failure.message);
            failure.reason.exit_code()
        }
    }
}

/// A panic is a bug of ours, and still no reason to end without a report.
fn guarded(config: &Config) -> CandidateReport {
    let place = Arc::new(Mutex::new(String::new()));
    let seen = Arc::clone(&place);
    std::panic::set_hook(Box::new(move |info| {
        if let Ok(mut place) = seen.lock() {
            *place = info.to_string();
        }
    }));
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| work(config)));
    let _ = std::panic::take_hook();
    outcome.unwrap_or_else(|_| {
        let message = place.lock().map_or_else(|_| "a panic".to_owned(), |p| p.clone());
        failed(config.candidate(), Failure { reason: FailureReason::Internal, message })
    })
}

fn failed(candidate: String, failure: Failure) -> CandidateReport {
    CandidateReport { candidate, package: None, measurements: Measurements::default(), failure: Some(failure) }
}

fn work(config: &Config) -> CandidateReport {
    match parse(config) {
        Ok((task, index, name)) => optimize(config, &task, index, &name).unwrap_or_else(|e| failed(name, e.failure())),
        Err(e) => failed(config.candidate(), e.failure()),
    }
}

fn parse(config: &Config) -> Result<(Task, usize, String), Error> {
    let task: Task = strict::json(&config.task)
        .map_err(|e| Error::Task(format!("cannot read the task: {e}; is the operator of another version?")))?;
    let index: usize = config
        .index
        .parse()
        .map_err(|_| Error::Task(format!("{INDEX_ENV} is {:?}; expected a number from 0", config.index)))?;
    let name = task.candidate_name(index).map(str::to_owned);
    let name = name.ok_or_else(|| {
        Error::Task(format!("index {index} of a task with {} candidates; expected less than that", task.candidates()))
    })?;
    Ok((task, index, name))
}

fn optimize(config: &Config, task: &Task, index: usize, name: &str) -> Result<CandidateReport, Error> {
    let mut progress = Progress::default();
    let engine = Engine::load()?;
    let scratch =
        tempfile::tempdir().map_err(|source| Error::Write { what: "a scratch directory in TMPDIR".into(), source })?;
    let work = task.work(index).unwrap_or(Work::Original);
    let recipe = if let Work::Recipe(recipe) = work { Some(recipe) } else { None };

    progress.stage(0.0, 5.0);
    let searches = matches!(work, Work::Search(_));
    let named = recipe.into_iter().flat_map(Recipe::models);
    let wanted: BTreeSet<&str> =
        if searches { task.models.keys().map(String::as_str).collect() } else { named.collect() };
    let trains = searches || recipe.is_some_and(Recipe::trains);
    let training = task.dataset.as_ref().and_then(|d| d.training.as_ref()).filter(|_| trains);
    let steps = 1 + task.dataset.iter().count() * 2 + training.iter().count() + wanted.len();
    let mut done = 0;
    let mut bring = |input: &Input, purpose: Purpose| -> Result<Fetched, Error> {
        let fetched = fetch(input, purpose, scratch.path())?;
        done += 1;
        progress.step("fetch", done, steps, "sources");
        Ok(fetched)
    };
    let model = bring(&task.model, Purpose::Model)?;
    let dataset = task.dataset.as_ref();
    let evaluation = dataset.map(|d| bring(&d.evaluation, Purpose::Evaluation)).transpose()?;
    // The original is not calibrated.
    let calibration =
        dataset.filter(|_| work != Work::Original).map(|d| bring(&d.calibration, Purpose::Calibration)).transpose()?;

    let training = training.map(|t| bring(t, Purpose::Training)).transpose()?;
    let mut models = BTreeMap::new();
    for (name, input) in task.models.iter().filter(|(name, _)| wanted.contains(name.as_str())) {
        models.insert(name.clone(), bring(input, Purpose::Model)?);
    }

    let store = Store::open(Path::new(&task.store))?;
    let key = ResultKey::new(task, index, &format!("{:?}", candidate::tools(&engine)), &machine());
    let digest = |f: Option<&Fetched>| f.map(|f| f.digest.clone());
    let sources = Sources {
        model: digest(Some(&model)),
        calibration: digest(calibration.as_ref()),
        evaluation: digest(evaluation.as_ref()),
        training: digest(training.as_ref()),
        models: models.iter().map(|(name, f)| (name.clone(), f.digest.clone())).collect(),
    };
    if let Some(report) = store.result(&key, &sources) {
        progress.stage(100.0, 100.0);
        progress.note("the store has this result already");
        return Ok(report);
    }
    let request = Request {
        name,
        recipe,
        target: task.target,
        found: None,
        model: &model,
        calibration: calibration.as_ref(),
        evaluation: evaluation.as_ref(),
        training: training.as_ref(),
        models: &models,
        preprocessing: &task.preprocessing,
        labels: &task.labels,
        detection: task.detection.as_ref(),
        store: Path::new(&task.store),
        needs_labels: true,
        program: Some(&config.program),
    };
    let report = match work {
        Work::Search(wanted) => search::run(&engine, &request, wanted, &mut progress)?.0,
        Work::Original | Work::Recipe(_) => candidate::make(&engine, &request, &mut progress)?,
    };
    // The package is there: not to find it by itself the next time is no reason to fail.
    if let Err(e) = store.keep_result(&key, sources, report.clone()) {
        progress.note(&format!("the result is not kept for another time: {e}"));
    }
    Ok(report)
}
