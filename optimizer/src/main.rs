//! The optimization Job's program, usable by hand.

mod cli;

use std::env;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use clap::Parser as _;
use drydock_contract::FailureReason;
use drydock_optimizer::{Error, inspect, interrupt, job, memory};

/// ONNX Runtime sends its makers what it is used for, and keeps a database for that in the home directory, unless this says no when it
/// is loaded: its API for it comes after the database (seen with 1.31.1).
const NO_TELEMETRY: (&str, &str) = ("ORT_DISABLE_TELEMETRY", "1");

fn main() -> ExitCode {
    let (name, value) = NO_TELEMETRY;
    if env::var_os(name).is_none()
        && let Ok(program) = env::current_exe()
    {
        // To set a variable of a process that runs is not safe. Returns only if it cannot, and the work is done all the same.
        let e = Command::new(program).args(env::args_os().skip(1)).env(name, value).exec();
        eprintln!("cannot begin anew with {name}={value}: {e}; ONNX Runtime may keep a database in the home directory");
    }
    match cli::Cli::parse().command {
        cli::Command::Job(args) => match args.config() {
            Ok(config) => ExitCode::from(job::run(&config)),
            Err(e) => fail(&e, 75),
        },
        cli::Command::Optimize(args) => watched(|| cli::optimize(&args)),
        cli::Command::Apply(args) => watched(|| cli::apply(&args)),
        cli::Command::Search(args) => watched(|| cli::search(&args)),
        cli::Command::Evaluate(args) => watched(|| cli::evaluate(&args)),
        cli::Command::Report(args) => watched(|| cli::report(&args)),
        cli::Command::Diff(args) => match cli::diff(&args) {
            Ok(differs) => ExitCode::from(u8::from(differs && args.exit_code)),
            Err(e) => failed(&e),
        },
        cli::Command::Inspect { model } => match inspect::describe(&model) {
            Ok(text) => print(&text),
            Err(e) => fail(&e.to_string(), 65),
        },
        cli::Command::MeasureMemory { model, shape } => measure_memory(&model, &shape),
    }
}

fn measure_memory(model: &Path, shape: &[i64]) -> ExitCode {
    match memory::measure_self(model, shape) {
        Ok(bytes) => print(&format!("{bytes}\n")),
        Err(e) => fail(&e.to_string(), e.reason().exit_code()),
    }
}

/// On Ctrl-C nothing half-written is left either.
fn watched(work: impl FnOnce() -> Result<(), Error>) -> ExitCode {
    let code = FailureReason::Interrupted.exit_code();
    if let Err(e) = interrupt::watch(move || std::process::exit(code.into())) {
        return fail(&format!("cannot watch for signals: {e}"), FailureReason::Internal.exit_code());
    }
    match work() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => failed(&e),
    }
}

fn failed(e: &Error) -> ExitCode {
    fail(&format!("{}: {e}", e.reason()), e.reason().exit_code())
}

fn print(text: &str) -> ExitCode {
    use std::io::Write as _;
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn fail(message: &str, code: u8) -> ExitCode {
    eprintln!("{message}");
    ExitCode::from(code)
}
