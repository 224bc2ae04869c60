use std::env;
use std::fs::OpenOptions;
use std::io::{IsTerminal as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command as Program, ExitCode};

use clap::Parser as _;
use inference_sidecar::{Cli, Command, Config, run};
use tracing_subscriber::EnvFilter;

/// ONNX Runtime sends its makers what it is used for, and keeps a database for that in the home directory, unless this is set when
/// it is loaded: its API for it comes after the database (seen with 1.31.1).
const NO_TELEMETRY: &str = "ORT_DISABLE_TELEMETRY";

fn main() -> ExitCode {
    let Command::Serve(config) = Cli::parse().command;
    log();
    if env::var_os(NO_TELEMETRY).is_none() {
        let e = begin_anew();
        tracing::warn!("cannot set {NO_TELEMETRY} and begin anew: {e}; ONNX Runtime may write to the home directory");
    }
    serve(config)
}

/// With telemetry off: to set a variable of a process that runs is not safe. Returns only if it cannot.
fn begin_anew() -> std::io::Error {
    match env::current_exe() {
        Ok(program) => Program::new(program).args(env::args_os().skip(1)).env(NO_TELEMETRY, "1").exec(),
        Err(e) => e,
    }
}

#[tokio::main]
async fn serve(config: Box<Config>) -> ExitCode {
    let termination_log = config.termination_log.clone();
    run(*config).await.unwrap_or_else(|e| {
        tracing::error!("{e}");
        leave_reason(&termination_log, &e.to_string());
        ExitCode::from(e.exit_code())
    })
}

/// People read text, collectors read JSON.
fn log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        builder.init();
    } else {
        builder.json().flatten_event(true).init();
    }
}

/// What `kubectl describe pod` shows. Outside Kubernetes there is no such file, and none is made.
fn leave_reason(path: &Path, reason: &str) {
    let file = OpenOptions::new().write(true).truncate(true).open(path);
    let _ = file.and_then(|mut file| file.write_all(reason.as_bytes()));
}
