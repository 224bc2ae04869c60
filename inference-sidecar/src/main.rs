use std::fs::OpenOptions;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;
use inference_sidecar::{Cli, Command, run};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let Command::Serve(config) = Cli::parse().command;
    log();
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
