use std::sync::atomic::{AtomicU64, Ordering};

/// Picks `percent` of every 100 in a row, exactly, and as evenly spread as they can be.
#[derive(Debug, Default)]
pub(super) struct Rotation(AtomicU64);

impl Rotation {
    pub(super) fn picks(&self, percent: u8) -> bool {
        let n = self.0.fetch_add(1, Ordering::Relaxed) % 100;
        let percent = u64::from(percent.min(100));
        // The line of slope percent/100 crosses an integer on exactly `percent` of 100 steps.
        (n + 1) * percent / 100 != n * percent / 100
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hundred_in_a_row_has_its_share() {
        for percent in 0..=100 {
            let rotation = Rotation::default();
            let picked: Vec<bool> = (0..1000).map(|_| rotation.picks(percent)).collect();
            for window in picked.windows(100) {
                assert_eq!(window.iter().filter(|p| **p).count(), usize::from(percent));
            }
        }
        assert!(Rotation::default().picks(200), "over 100 is all");
    }

    #[test]
    fn a_share_is_spread() {
        let rotation = Rotation::default();
        let gaps: Vec<usize> =
            (0..200).filter(|_| rotation.picks(10)).collect::<Vec<_>>().windows(2).map(|w| w[1] - w[0]).collect();
        assert!(gaps.iter().all(|g| *g == 10), "{gaps:?}");
    }
}
