//! Peak memory of a process that serves one model and does nothing else.
//!
//! A process's peak never falls, so it is measured in a child: this program again, with [`COMMAND`].

use std::path::Path;
use std::process::{Command, Stdio};

use drydock_contract::MemoryMeasurement;

use crate::Error;
use crate::benchmark::input;
use crate::engine::Engine;
use crate::interrupt;

/// The sub-command that the child is started with, then the model, then the input's dimensions.
pub const COMMAND: &str = "measure-memory";
const INFERENCES: usize = 3;

/// Starts `program` to measure the model file.
///
/// # Errors
/// The child does not start, fails, or prints no number.
pub fn measure(program: &Path, model: &Path, shape: &[i64]) -> Result<MemoryMeasurement, Error> {
    let dims: Vec<String> = shape.iter().map(i64::to_string).collect();
    let output = Command::new(program)
        .arg(COMMAND)
        .arg(model)
        .arg(dims.join(","))
        .stdin(Stdio::null())
        .output()
        .map_err(|e| Error::Internal(format!("cannot start {} to measure memory: {e}", program.display())))?;
    // Ctrl-C goes to the child too: what it says then is not why.
    interrupt::check()?;
    let printed = String::from_utf8_lossy(&output.stdout);
    match printed.trim().parse() {
        Ok(peak_bytes) if output.status.success() => Ok(MemoryMeasurement { peak_bytes }),
        _ => {
            let message = String::from_utf8_lossy(&output.stderr);
            Err(Error::Internal(format!("measuring memory: {}: {}", output.status, message.trim())))
        }
    }
}

/// What the child does: loads the model, runs it, and says its own peak in bytes.
pub fn measure_self(model: &Path, shape: &[i64]) -> Result<u64, Error> {
    let mut session = Engine::load()?.open_file(model, 1)?;
    let data = input(shape);
    for _ in 0..INFERENCES {
        session.run(shape, &data, [], |_, _, _| {})?;
    }
    let status = std::fs::read_to_string("/proc/self/status")
        .map_err(|e| Error::Internal(format!("cannot read /proc/self/status: {e}")))?;
    peak(&status).ok_or_else(|| Error::Internal("no VmHWM in /proc/self/status".into()))
}

/// `VmHWM` in bytes.
fn peak(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::peak;

    #[test]
    fn reads_the_peak_and_nothing_like_it() {
        assert_eq!(peak("VmPeak:\t  9 kB\nVmHWM:\t   123 kB\nVmRSS:\t 7 kB\n"), Some(123 * 1024));
        assert_eq!(peak("VmRSS: 7 kB"), None);
        assert_eq!(peak("VmHWM: many kB"), None);
    }
}
