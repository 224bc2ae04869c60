use std::path::{Path, PathBuf};

const ROOT: &str = "/sys/class/powercap";

/// Running Average Power Limit: what the processor packages count of their own energy, whoever spends it.
/// <https://docs.kernel.org/power/powercap/powercap.html>
#[derive(Debug)]
pub(super) struct Meter {
    /// One for each processor package.
    zones: Vec<Zone>,
}

#[derive(Debug)]
struct Zone {
    counter: PathBuf,
    /// Microjoules at which the counter begins again at 0.
    range: u64,
}

/// Microjoules of each package at one time.
#[derive(Debug)]
pub(super) struct Reading(Vec<u64>);

impl Meter {
    /// None where there is no counter, or none that this user may read: most kernels show it to root only.
    pub(super) fn open() -> Option<Self> {
        Self::open_at(Path::new(ROOT))
    }

    fn open_at(root: &Path) -> Option<Self> {
        let zones: Vec<Zone> = std::fs::read_dir(root)
            .ok()?
            .flatten()
            // `intel-rapl:0` is a package, on AMD too; `intel-rapl:0:1` is a part of it, and counted in it.
            .filter(|e| e.file_name().to_str().and_then(|n| n.strip_prefix("intel-rapl:")).is_some_and(is_number))
            .filter_map(|e| {
                let zone =
                    Zone { counter: e.path().join("energy_uj"), range: number(&e.path().join("max_energy_range_uj"))? };
                number(&zone.counter).map(|_| zone)
            })
            .collect();
        (!zones.is_empty()).then_some(Self { zones })
    }

    pub(super) fn read(&self) -> Option<Reading> {
        self.zones.iter().map(|z| number(&z.counter)).collect::<Option<_>>().map(Reading)
    }

    /// Joules from `before` to now.
    pub(super) fn since(&self, before: &Reading) -> Option<f64> {
        let now = self.read()?;
        let spent = self.zones.iter().zip(&before.0).zip(&now.0).map(|((zone, before), now)| {
            now.checked_sub(*before).unwrap_or_else(|| (zone.range.saturating_sub(*before)).saturating_add(*now))
        });
        Some(spent.map(|microjoules| microjoules as f64).sum::<f64>() / 1e6)
    }
}

fn is_number(text: &str) -> bool {
    text.parse::<u32>().is_ok()
}

fn number(path: &Path) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_added_and_counters_begin_again() {
        let root = tempfile::tempdir().unwrap();
        assert!(Meter::open_at(root.path()).is_none());
        assert!(Meter::open_at(Path::new("/no/such/place")).is_none());
        let set = |zone: &str, microjoules: u64| {
            let zone = root.path().join(zone);
            std::fs::create_dir_all(&zone).unwrap();
            std::fs::write(zone.join("energy_uj"), format!("{microjoules}\n")).unwrap();
            std::fs::write(zone.join("max_energy_range_uj"), "5000000\n").unwrap();
        };
        set("intel-rapl:0", 1_000_000);
        set("intel-rapl:0:0", 0);
        set("intel-rapl:1", 4_000_000);
        let meter = Meter::open_at(root.path()).unwrap();
        let before = meter.read().unwrap();
        set("intel-rapl:0", 2_500_000);
        set("intel-rapl:0:0", 900_000);
        set("intel-rapl:1", 1_000_000);
        assert!((meter.since(&before).unwrap() - 3.5).abs() < 1e-9);
    }
}
