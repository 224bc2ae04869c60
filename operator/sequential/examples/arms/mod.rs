//! A/B tests of two known rates of conversion, looked at all the time.

use drydock_sequential::{Tally, against_difference};

const RUNS: usize = 1000;
/// Users in each arm.
pub const MOST: u64 = 20_000;
/// Between two looks.
const LOOK: u64 = 50;
const ALPHA: f64 = 0.05;
/// Of the normal distribution: two-sided at 5 %, and a power of 95 %.
const Z_ALPHA: f64 = 1.96;
const Z_POWER: f64 = 1.645;

/// In how many tests a winner was named: by a confidence sequence, after so many users; and by a test for one look.
pub struct Found {
    after: Vec<u64>,
    by_z: usize,
}

impl Found {
    pub fn ours(&self) -> f64 {
        100.0 * self.after.len() as f64 / RUNS as f64
    }

    pub fn theirs(&self) -> f64 {
        100.0 * self.by_z as f64 / RUNS as f64
    }

    pub fn median(&self) -> String {
        self.after.get(RUNS / 2).map_or("more".to_owned(), u64::to_string)
    }
}

pub fn race(canary: f64, stable: f64, random: &mut fastrand::Rng) -> Found {
    let mut found = Found { after: Vec::new(), by_z: 0 };
    for _ in 0..RUNS {
        let (mut a, mut b, mut ours, mut z) = (0, 0, None, false);
        for n in 1..=MOST {
            a += u64::from(random.f64() < canary);
            b += u64::from(random.f64() < stable);
            if n % LOOK != 0 || (ours.is_some() && z) {
                continue;
            }
            let (a, b) = (Tally::new(a, n), Tally::new(b, n));
            let (p, gap) = (f64::midpoint(a.share(), b.share()), a.share() - b.share());
            z |= gap * gap * n as f64 > Z_ALPHA * Z_ALPHA * 2.0 * p * (1.0 - p);
            if ours.is_none() && against_difference(a, b, 0.0) >= -ALPHA.ln() {
                ours = Some(n);
            }
        }
        found.after.extend(ours);
        found.by_z += usize::from(z);
    }
    found.after.sort_unstable();
    found
}

/// Users in each arm that a test for one look is planned with: Fleiss, Levin, Paik, "Statistical Methods for Rates and Proportions", 2003,
/// section 4.2, without the correction for continuity.
pub fn fixed_sample(canary: f64, stable: f64) -> u64 {
    let variance = canary * (1.0 - canary) + stable * (1.0 - stable);
    ((Z_ALPHA + Z_POWER).powi(2) * variance / (canary - stable).powi(2)).ceil() as u64
}
