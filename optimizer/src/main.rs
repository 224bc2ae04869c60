//! The optimization Job's program, usable by hand.

mod cli;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;
use drydock_contract::FailureReason;
use drydock_optimizer::{Error, inspect, interrupt, job, memory};

fn main() -> ExitCode {
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
