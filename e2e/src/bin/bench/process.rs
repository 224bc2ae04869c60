//! What a process and its children have cost, as the kernel counts it (proc(5)).

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::time::Duration;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// User and system time, that of children who have ended too.
    pub(crate) cpu: Duration,
    /// Resident memory, where what several processes share counts for each as its part.
    pub(crate) pss_mb: f64,
}

/// `sysconf(_SC_CLK_TCK)` is 100 on every Linux that Rust knows.
const TICK: Duration = Duration::from_millis(10);

impl Cost {
    pub(crate) fn of(root: u32) -> io::Result<Self> {
        let mut tree = BTreeSet::from([root]);
        let all: Vec<(u32, Stat)> = processes()?.into_iter().filter_map(|id| Some((id, stat(id)?))).collect();
        // Children can have lower numbers than their parents where numbers have begun anew.
        while let Some((id, _)) = all.iter().find(|(id, s)| tree.contains(&s.parent) && !tree.contains(id)) {
            tree.insert(*id);
        }
        let ticks: u32 = all.iter().filter(|(id, _)| tree.contains(id)).map(|(_, s)| s.ticks).sum();
        let pss: u64 = tree.iter().filter_map(|id| pss(*id)).sum();
        Ok(Self { cpu: TICK * ticks, pss_mb: pss as f64 / 1000.0 })
    }
}

struct Stat {
    parent: u32,
    ticks: u32,
}

fn processes() -> io::Result<Vec<u32>> {
    let names = fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(names.filter_map(|name| name.parse().ok()).collect())
}

/// `None`: it has ended meanwhile.
fn stat(id: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name in front can have spaces and brackets in it.
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
    // utime, stime, cutime, cstime: fields 14 to 17 of proc_pid_stat(5), of which three are cut off.
    let ticks = fields.get(11..15)?.iter().map(|f| f.parse::<u32>().unwrap_or_default()).sum();
    Some(Stat { parent: fields.get(1)?.parse().ok()?, ticks })
}

/// Kilobytes of 1024 bytes, as the kernel has them.
fn pss(id: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024 / 1000)
}
