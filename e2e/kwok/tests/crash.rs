//! The operator's whole story on a real API server, with faults on purpose (`e2e/kwok/run.sh crash`): create, optimize, serve, canary,
//! promote, change, roll back, delete. Whatever happens on the way, the end is that of the undisturbed story.
//!
//! `DRYDOCK_CRASH=full` takes every write, 40 seeds and 10 clocks, instead of a sample; `DRYDOCK_CRASH_AFTER=7,8` those deaths alone,
//! `DRYDOCK_SEED=5` that seed alone, `DRYDOCK_CLOCK=2` that clock alone, `DRYDOCK_SET_BACK=26` a clock that is set back then.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

#[path = "crash/lasting.rs"]
mod lasting;
#[path = "crash/story.rs"]
mod story;

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use drydock_kwok::proxy::Faults;
use drydock_kwok::{ground, sidecars};
use futures::{StreamExt as _, stream};
use kube::Client;
use story::Story;

/// Stories that are told at the same time, each in a namespace with an operator of its own.
const AT_ONCE: usize = 6;
/// Of the requests, and in percent: about one in ten suffers.
const PERCENT: u64 = 10;

fn listed(variable: &str) -> Result<Option<Vec<usize>>> {
    let Ok(text) = std::env::var(variable) else { return Ok(None) };
    let numbers = text.split(',').map(str::parse).collect::<Result<_, _>>();
    Ok(Some(numbers.with_context(|| format!("{variable}: expected numbers with commas between them"))?))
}

/// What a number of the environment says.
type MadeOf = fn(usize) -> Faults;

fn range(numbers: std::ops::RangeInclusive<usize>, step: usize) -> Vec<usize> {
    numbers.step_by(step).collect()
}

fn is_full() -> bool {
    std::env::var("DRYDOCK_CRASH").is_ok_and(|how| how == "full")
}

/// Tells all of them; what went wrong, by name.
async fn told(client: &Client, expected: &str, all: Vec<(String, Faults)>) -> Vec<String> {
    let directory = &directory();
    let outcomes = stream::iter(all).map(|(name, faults)| async move {
        let end = match Story::begin(client, &name, faults, directory).await {
            Ok(story) => story.tell().await,
            Err(error) => Err(error),
        };
        match end {
            Ok(end) if known(&end.children, faults) == known(expected, faults) => {
                println!("{name}: as undisturbed, {} writes, {} faults", end.writes, end.faults.len());
                None
            }
            Ok(end) => Some(format!(
                "{name}: {}\nwhat was done:\n{}",
                lasting::difference(&known(expected, faults), &known(&end.children, faults)),
                end.faults.join("\n")
            )),
            Err(error) => Some(format!("{name}: {error:#}")),
        }
    });
    let failed: Vec<String> = outcomes.buffer_unordered(AT_ONCE).filter_map(|failed| async { failed }).collect().await;
    for failure in &failed {
        println!("FAILED {failure}\n");
    }
    failed
}

/// Of what stands there, what has to be the same. Of what a record says of the past: after a death what was decided, after refused writes
/// and under a clock that is set nothing.
fn known(children: &str, faults: Faults) -> String {
    let line = |line: &str| match (line.split_once("drydock.dev/record.decisions["), faults) {
        (None, _) | (_, Faults::None) => Some(line.to_owned()),
        (Some((revision, decision)), Faults::Death { .. }) if decision.contains("].what = ") => {
            Some(format!("{revision}{}", decision.split_once('.').map_or(decision, |(_, what)| what)))
        }
        _ => None,
    };
    children.lines().filter_map(line).collect::<Vec<_>>().join("\n")
}

/// For kubeconfigs and for what the operators say.
fn directory() -> PathBuf {
    let directory = std::env::temp_dir().join("drydock-crash");
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_is_that_of_the_undisturbed_story() -> Result<()> {
    let client = ground::client().await?;
    sidecars::serve(client.clone()).await?;
    let undisturbed = Story::begin(&client, "calm", Faults::None, &directory()).await?.tell().await?;
    println!("undisturbed: {} writes\n{}", undisturbed.writes, undisturbed.children);
    let expected = &undisturbed.children;

    let variables = ["DRYDOCK_CRASH_AFTER", "DRYDOCK_SEED", "DRYDOCK_CLOCK", "DRYDOCK_SET_BACK"];
    let given = variables.into_iter().map(listed).collect::<Result<Vec<_>>>()?;
    let chosen = if given.iter().any(Option::is_some) {
        given.into_iter().map(Option::unwrap_or_default).collect()
    } else if is_full() {
        vec![range(1..=undisturbed.writes, 1), range(1..=40, 1), range(1..=10, 1), range(10..=50, 4)]
    } else {
        vec![range(1..=undisturbed.writes, 6), range(1..=4, 1), range(1..=1, 1), range(26..=34, 8)]
    };
    let kinds: [(&str, MadeOf); 4] = [
        ("death", |after| Faults::Death { after }),
        ("seed", |seed| Faults::Random { seed: seed as u64, percent: PERCENT }),
        ("clock", |seed| Faults::Clock { seed: seed as u64 }),
        ("set-back", |after| Faults::SetBack { after }),
    ];
    let disturbed = kinds
        .into_iter()
        .zip(chosen)
        .flat_map(|((kind, faults), numbers)| numbers.into_iter().map(move |n| (format!("{kind}-{n}"), faults(n))));
    // Two that nothing happens to are equal, or the others say nothing.
    let calm = std::iter::once(("calm-again".to_owned(), Faults::None));
    let all: Vec<_> = calm.chain(disturbed).collect();
    let count = all.len();
    let failed = told(&client, expected, all).await;
    println!("{} of {count} stories ended as the undisturbed one", count - failed.len());
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
    Ok(())
}
