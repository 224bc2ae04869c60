//! Who rolls which canary back, and who names which winner: `cargo run --release -p drydock-sequential --example power DIRECTORY` prints
//! the table of docs/analysis.md, and writes the rows of the benchmark `analysis` and the plot into the directory.
#![allow(clippy::print_stdout, reason = "that is what it is for")]

mod arms;
mod plot;
mod traces;

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;

use plot::Panel;
use traces::{Canary, End, argo, flagger, sequential, trace};

const RUNS: usize = 2000;
const RATES: [f64; 8] = [0.001, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2];
/// Of the plot.
const SHOWN: [f64; 5] = [0.005, 0.01, 0.02, 0.05, 0.1];

/// What the three judges have said of the same canaries, at one true error rate.
struct Judged {
    rate: f64,
    ours: Vec<End>,
    argo: Vec<End>,
    flagger: Vec<End>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut random = fastrand::Rng::with_seed(1);
    let all: Vec<Judged> = RATES.map(|rate| judge(rate, &mut random)).into();
    println!(
        "| true error rate | Drydock | promoted | requests to a rollback, median | Argo, `failureLimit: 0` | Flagger, `threshold: 5` |"
    );
    println!("|---|---|---|---|---|---|");
    for j in &all {
        println!(
            "| {:.1} % | {:.1} % | {:.1} % | {} | {:.1} % | {:.1} % |",
            j.rate * 100.0,
            rolled_back(&j.ours),
            percent(j.ours.iter().filter(|e| **e == End::Promoted).count()),
            median(&j.ours),
            rolled_back(&j.argo),
            rolled_back(&j.flagger)
        );
    }
    let Some(directory) = std::env::args().nth(1) else { return Ok(()) };
    let directory = Path::new(&directory);
    let panel = |title, of: fn(&Judged) -> &Vec<End>| Panel {
        title,
        lines: all.iter().filter(|j| SHOWN.contains(&j.rate)).map(|j| (j.rate, requests(of(j)))).collect(),
    };
    let panels = [
        panel("Drydock", |j| &j.ours),
        panel("Argo Rollouts, failureLimit: 0", |j| &j.argo),
        panel("Flagger, threshold: 5", |j| &j.flagger),
    ];
    std::fs::write(directory.join("power.svg"), plot::svg(&panels, RUNS, 2400))?;
    std::fs::write(directory.join("analysis.rows.json"), rows(&all, &mut random))?;
    Ok(())
}

fn judge(rate: f64, random: &mut fastrand::Rng) -> Judged {
    let canary = Canary { rate, per_second: 20, steps: 2, hold: 60 };
    let traces: Vec<_> = (0..RUNS).map(|_| trace(&canary, random)).collect();
    Judged {
        rate,
        ours: traces.iter().map(|t| sequential(&canary, t)).collect(),
        argo: traces.iter().map(|t| argo(&canary, t, 10, 0)).collect(),
        flagger: traces.iter().map(|t| flagger(&canary, t, 10, 5)).collect(),
    }
}

/// After how many requests each that was rolled back was, in order.
fn requests(ends: &[End]) -> Vec<u32> {
    let mut after: Vec<u32> =
        ends.iter().filter_map(|e| if let End::RolledBack(n) = e { Some(*n) } else { None }).collect();
    after.sort_unstable();
    after
}

fn percent(n: usize) -> f64 {
    100.0 * n as f64 / RUNS as f64
}

fn rolled_back(ends: &[End]) -> f64 {
    percent(requests(ends).len())
}

fn median(ends: &[End]) -> String {
    let after = requests(ends);
    after.get(after.len() / 2).map_or("-".to_owned(), u32::to_string)
}

/// Rows as docs/benchmarks/*.json has them.
fn rows(all: &[Judged], random: &mut fastrand::Rng) -> String {
    let mut rows = Vec::new();
    let mut row = |what: String, ours: String, reference: String, goal: &str, holds: Option<bool>| {
        let holds = holds.map_or("null".to_owned(), |h| h.to_string());
        rows.push(format!(
            r#"{{"what": "{what}", "ours": "{ours}", "reference": "{reference}", "ratio": "", "goal": "{goal}", "holds": {holds}}}"#
        ));
    };
    for j in all.iter().filter(|j| SHOWN.contains(&j.rate)) {
        let is_good = j.rate <= traces::LIMIT;
        let what = if is_good { "type-I error: good canaries" } else { "power: bad canaries" };
        let ours = rolled_back(&j.ours);
        row(
            format!("{what}, {} % of errors, rolled back within 2400 requests", j.rate * 100.0),
            format!("{ours:.1} %"),
            format!("Argo Rollouts {:.1} %, Flagger {:.1} %", rolled_back(&j.argo), rolled_back(&j.flagger)),
            if is_good { "≤ 5 %" } else { "" },
            is_good.then_some(ours <= 5.0),
        );
        if !is_good {
            row(
                format!("requests to that rollback, median, at {} % of errors", j.rate * 100.0),
                median(&j.ours),
                format!("Argo Rollouts {}, Flagger {}", median(&j.argo), median(&j.flagger)),
                "",
                None,
            );
        }
    }
    for (canary, stable) in [(0.10, 0.10), (0.12, 0.10), (0.15, 0.10)] {
        let found = arms::race(canary, stable, random);
        let is_equal = canary <= stable;
        let what = if is_equal { "A/B type-I error: a winner of two equals" } else { "A/B power: a winner" };
        let mut who = format!("{what}, {:.0} % beside {:.0} % conversions", canary * 100.0, stable * 100.0);
        write!(who, ", within {} users in each arm", arms::MOST).unwrap_or_default();
        row(
            who,
            format!("{:.1} %", found.ours()),
            format!("z-test at alpha 0.05, looked at as often: {:.1} %", found.theirs()),
            if is_equal { "≤ 5 %" } else { "" },
            is_equal.then_some(found.ours() <= 5.0),
        );
        if !is_equal {
            row(
                "users in each arm until then, median".to_owned(),
                found.median(),
                format!("z-test with one look at the end, for a power of 95 %: {}", arms::fixed_sample(canary, stable)),
                "",
                None,
            );
        }
    }
    format!("[\n {}\n]\n", rows.join(",\n "))
}
