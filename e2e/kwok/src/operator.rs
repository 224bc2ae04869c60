//! The operator's own program, beside the API server instead of in a pod.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};

use crate::clock::Clock;
use crate::process::Process;

/// How it is started, again and again.
#[derive(Debug)]
pub struct Operator {
    kubeconfig: PathBuf,
    /// `None`: all.
    namespace: Option<String>,
    /// Empty: those in none.
    shard: String,
    log: PathBuf,
    clock: Option<Clock>,
    process: Mutex<Option<Process>>,
}

/// The program: `DRYDOCK_OPERATOR`.
fn program() -> Result<PathBuf> {
    std::env::var_os("DRYDOCK_OPERATOR")
        .map(PathBuf::from)
        .context("DRYDOCK_OPERATOR names no program: use e2e/kwok/run.sh")
}

impl Operator {
    pub fn new(kubeconfig: PathBuf, namespace: Option<&str>, log: &Path, clock: Option<Clock>) -> Self {
        let namespace = namespace.map(ToOwned::to_owned);
        Self { kubeconfig, namespace, shard: String::new(), log: log.to_owned(), clock, process: Mutex::new(None) }
    }

    #[must_use]
    pub fn of_shard(self, shard: &str) -> Self {
        Self { shard: shard.to_owned(), ..self }
    }

    /// Nothing where it runs. Without a Lease: whoever is killed would hold it for a while.
    pub fn start(&self) -> Result<()> {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        if process.is_some() {
            return Ok(());
        }
        let mut command = Command::new(program()?);
        command.env("KUBECONFIG", &self.kubeconfig).args([
            "--optimizer-image=optimizer:1",
            "--sidecar-image=sidecar:1",
            "--http-port=0",
            "--leader-elect=false",
            &format!("--shard={}", self.shard),
        ]);
        if let Some(namespace) = &self.namespace {
            command.arg(format!("--namespace={namespace}"));
        }
        if let Some(clock) = &self.clock {
            clock.is_for(&mut command)?;
        }
        *process = Some(Process::start(&mut command, &self.log)?);
        Ok(())
    }

    /// As the kernel kills who takes too much memory: between two instructions.
    pub fn kill(&self) {
        self.process.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// What `ask` says of the process, where one runs.
    pub fn measured<T>(&self, ask: impl FnOnce(&Process) -> Result<T>) -> Result<T> {
        let process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        ask(process.as_ref().context("the operator does not run")?)
    }
}
