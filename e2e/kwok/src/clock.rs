//! A wall clock that can be set while a program runs, by libfaketime. The monotonic clock goes on.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// What a program has loaded whose clock it is.
pub const LIBRARY: &str = "libfaketime";

#[derive(Clone, Debug)]
pub struct Clock(PathBuf);

impl Clock {
    /// It shows the true time at first. Kept in `file`.
    pub fn new(file: &Path) -> Result<Self> {
        let clock = Self(file.to_owned());
        // A library that cannot be loaded is passed over, and every clock would be right.
        clock.set(1_000_000)?;
        let mut command = Command::new("date");
        clock.is_for(&mut command)?;
        let said = String::from_utf8(command.arg("+%s").output()?.stdout)?;
        let ahead = said.trim().parse::<u64>()?.saturating_sub(std::time::UNIX_EPOCH.elapsed()?.as_secs());
        ensure!((999_000..1_001_000).contains(&ahead), "libfaketime does nothing: {command:?} is {ahead} s ahead");
        clock.set(0)?;
        Ok(clock)
    }

    /// So many seconds after the true time, from now on.
    pub fn set(&self, seconds: i64) -> Result<()> {
        // Never half written: the program reads it each time that it asks for the time.
        let next = self.0.with_extension("next");
        std::fs::write(&next, format!("{seconds:+}s\n"))?;
        std::fs::rename(&next, &self.0).with_context(|| format!("{}", self.0.display()))
    }

    /// The program that is started next has this clock. The library: `DRYDOCK_FAKETIME`.
    pub fn is_for(&self, command: &mut Command) -> Result<()> {
        let library =
            std::env::var_os("DRYDOCK_FAKETIME").context("DRYDOCK_FAKETIME names no library: use e2e/kwok/run.sh")?;
        command.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", &self.0);
        command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        Ok(())
    }
}
