//! A program under measurement.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};

/// Ended, by SIGKILL, when it is dropped.
#[derive(Debug)]
pub struct Process(Child);

impl Process {
    /// What it says is added to `log`.
    pub fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let log = File::options().create(true).append(true).open(log).with_context(|| format!("{}", log.display()))?;
        let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn();
        Ok(Self(child.with_context(|| format!("cannot run {command:?}"))?))
    }

    pub fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    pub fn is_alive(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }

    /// User and system time so far: fields 14 and 15 of proc_pid_stat(5), in ticks of 10 ms.
    pub fn cpu(&self) -> Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        // The second field is the name, in parentheses, and may have spaces.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |n: usize| fields.get(n).and_then(|f| f.parse::<u64>().ok()).context("/proc/PID/stat");
        Ok(Duration::from_millis(10 * (ticks(11)? + ticks(12)?)))
    }

    /// Whether a library of this name is in it.
    pub fn has_loaded(&self, library: &str) -> Result<bool> {
        Ok(std::fs::read_to_string(format!("/proc/{}/maps", self.0.id()))?.contains(library))
    }

    /// Resident set now, and its peak, in KiB: proc_pid_status(5).
    pub fn memory(&self) -> Result<(u64, u64)> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|l| l.strip_prefix(name))?;
            line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().ok()
        };
        Ok((field("VmRSS").context("VmRSS")?, field("VmHWM").context("VmHWM")?))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
