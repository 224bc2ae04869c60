//! Who rolls which canary back: `cargo run --release -p drydock-sequential --example power` prints the table of docs/analysis.md.
#![allow(clippy::print_stdout, reason = "that is what it is for")]

mod traces;

use traces::{Canary, End, argo, flagger, sequential, trace};

const RUNS: usize = 2000;

fn main() {
    println!(
        "| true error rate | Drydock | promoted | requests to a rollback, median | Argo, `failureLimit: 0` | Flagger, `threshold: 5` |"
    );
    println!("|---|---|---|---|---|---|");
    let mut random = fastrand::Rng::with_seed(1);
    for rate in [0.001, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2] {
        let canary = Canary { rate, per_second: 20, steps: 2, hold: 60 };
        let traces: Vec<_> = (0..RUNS).map(|_| trace(&canary, &mut random)).collect();
        let share = |n: usize| 100.0 * n as f64 / RUNS as f64;
        let ours: Vec<End> = traces.iter().map(|t| sequential(&canary, t)).collect();
        let mut after: Vec<u32> =
            ours.iter().filter_map(|e| if let End::RolledBack(n) = e { Some(*n) } else { None }).collect();
        after.sort_unstable();
        let promoted = ours.iter().filter(|e| **e == End::Promoted).count();
        let back = |judge: &dyn Fn(&[u32]) -> End| {
            share(traces.iter().filter(|t| matches!(judge(t), End::RolledBack(_))).count())
        };
        let median = after.get(after.len() / 2).map_or("-".to_owned(), u32::to_string);
        println!(
            "| {:.1} % | {:.1} % | {:.1} % | {median} | {:.1} % | {:.1} % |",
            rate * 100.0,
            share(after.len()),
            share(promoted),
            back(&|t| argo(&canary, t, 10, 0)),
            back(&|t| flagger(&canary, t, 10, 5))
        );
    }
}
