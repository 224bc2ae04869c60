use std::env;
use std::fs::OpenOptions;
use std::io::{IsTerminal as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command as Program, ExitCode};

use clap::Parser as _;
use inference_sidecar::{Cli, Command, Config, StartError, run};
use tracing_subscriber::EnvFilter;

/// What libraries read only when they begin.
///
/// ONNX Runtime sends its makers what it is used for, and keeps a database for that in the home directory, unless it is told not to: its
/// API for it comes after the database (seen with 1.31.1). glibc keeps what large bodies and tensors took, up to 32 MiB for each of its
/// arenas, unless it has one arena, and fixed sizes from which memory goes back to the kernel at once (mallopt(3), `M_ARENA_MAX`,
/// `M_MMAP_THRESHOLD` and `M_TRIM_THRESHOLD`). They are above what the engine takes and gives back for each inference of a small model,
/// since a page that is new costs more than what is calculated into it (docs/adr/0021-hot-path.md).
const ENVIRONMENT: [(&str, &str); 4] = [
    ("ORT_DISABLE_TELEMETRY", "1"),
    ("MALLOC_ARENA_MAX", "1"),
    ("MALLOC_MMAP_THRESHOLD_", "4194304"),
    ("MALLOC_TRIM_THRESHOLD_", "4194304"),
];

fn main() -> ExitCode {
    let Command::Serve(config) = Cli::parse().command;
    log();
    let missing: Vec<_> = ENVIRONMENT.into_iter().filter(|(name, _)| env::var_os(name).is_none()).collect();
    if !missing.is_empty() {
        let e = begin_anew(&missing);
        tracing::warn!("cannot begin anew with {missing:?}: {e}; set them, or memory and the home directory may fill");
    }
    serve(config)
}

/// To set a variable of a process that runs is not safe. Returns only if it cannot.
fn begin_anew(variables: &[(&str, &str)]) -> std::io::Error {
    match env::current_exe() {
        Ok(program) => Program::new(program).args(env::args_os().skip(1)).envs(variables.iter().copied()).exec(),
        Err(e) => e,
    }
}

fn serve(config: Box<Config>) -> ExitCode {
    let termination_log = config.termination_log.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(StartError::Thread);
    let served = runtime.and_then(|runtime| {
        let served = runtime.block_on(run(*config));
        // A package that is still being loaded is never served, and the process does not wait for it.
        runtime.shutdown_background();
        served
    });
    served.unwrap_or_else(|e| {
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
