use drydock_contract::{Failure, FailureReason, Limits, Objective, Recipe};

use super::*;
use crate::search::answered::Answered;
use crate::search::estimate::{Bounds, change};
use crate::search::space::Ladder;

pub(in crate::search) fn search(objective: Objective) -> Search {
    let limits = Limits { max_accuracy_drop: 0.5, ..Limits::default() };
    Search { time_budget_seconds: 300, max_candidates: 32, limits, objective }
}

pub(in crate::search) fn latency() -> Search {
    search(Objective::Latency)
}

/// Loses so many of 100 images that the original answers right, gains none; measured on those images.
pub(in crate::search) fn trial(name: &str, lost: usize, speedup: f64, bytes: u64) -> Trial {
    let right: Vec<bool> = (0..100).map(|i| i >= lost).collect();
    let estimate = Estimate {
        images: right.len(),
        all_images: false,
        accuracy: 100.0 - lost as f64,
        change: change(&[true; 100], &right),
        rounds: 10,
        speedup: Bounds { low: speedup * 0.95, value: speedup, high: speedup * 1.05 },
        latency_milliseconds: 1.0 / speedup,
        bytes,
        original_bytes: 1000,
        memory_bytes: None,
    };
    let mut trial = Trial::new(Entry {
        recipe: Recipe { name: name.into(), techniques: Vec::new() },
        pupil: None,
        step: None,
        instead_of: None,
    });
    trial.answered = Answered::Classes(right);
    trial.estimates.push(estimate);
    trial
}

/// A change that is known to be this.
pub(in crate::search) fn exactly(mut trial: Trial, points: f64) -> Trial {
    let estimate = trial.estimates.last_mut().unwrap();
    estimate.change = Bounds { low: points, value: points, high: points };
    estimate.all_images = true;
    trial
}

fn on(ladder: Ladder, percent: u32, trial: Trial) -> Trial {
    Trial { entry: Entry { step: Some((ladder, percent)), ..trial.entry }, ..trial }
}

fn names(trials: &[Trial], which: Vec<(usize, Verdict)>) -> Vec<String> {
    which.into_iter().map(|(i, verdict)| format!("{}: {verdict}", trials[i].name())).collect()
}

#[test]
fn images_of_each_round() {
    for (images, expected) in [
        (10_000, vec![1000, 3333, 10_000]),
        (50_000, vec![5000, 16_666, 50_000]),
        (1000, vec![500, 1000]),
        (500, vec![500]),
        (1, vec![1]),
    ] {
        assert_eq!(rounds(images), expected);
    }
}

#[test]
fn only_what_has_surely_lost_is_dropped() {
    let trials = [
        trial("int8", 0, 3.0, 250),
        // 3 of 100 lost: at best none, with more images.
        trial("perhaps", 1, 5.0, 100),
        trial("wrong", 12, 8.0, 50),
        trial("slower", 0, 0.9, 250),
        // Slower, larger and 14 points worse than `int8`; slower alone is no reason.
        trial("worse", 14, 2.0, 260),
        trial("slow", 0, 2.0, 260),
    ];
    let found = names(&trials, lost(&trials, &latency()).unwrap());
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(found[0].starts_with("wrong: accuracy drop"), "{found:#?}");
    assert!(found[0].contains("on 100 images"), "{found:#?}");
    assert!(found[1].starts_with("slower: speedup 0.9") && found[1].contains("limit 1.00x"), "{found:#?}");
    // A gate comes first: it is what the user set.
    assert!(found[2].starts_with("worse: accuracy drop"), "{found:#?}");

    let lenient = Search { limits: Limits { max_accuracy_drop: 100.0, ..Limits::default() }, ..latency() };
    let found = names(&trials, lost(&trials, &lenient).unwrap());
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[1].starts_with("worse: int8 is no larger, faster, and "), "{found:#?}");
}

#[test]
fn on_all_images_nothing_is_left_to_chance() {
    for (points, is_lost) in [(-0.5, false), (-0.51, true)] {
        let trials = [exactly(trial("t", 1, 2.0, 100), points)];
        assert_eq!(lost(&trials, &latency()).unwrap().len(), usize::from(is_lost), "{points}");
        assert_eq!(leader(&trials, &latency()).is_none(), is_lost, "{points}");
    }
}

#[test]
fn the_better_half_goes_on_and_the_best_that_keeps_the_gates() {
    let trials: Vec<Trial> = [("a", 1, 9.0), ("b", 1, 8.0), ("c", 1, 7.0), ("d", 1, 6.0), ("e", 0, 5.0), ("f", 0, 4.0)]
        .map(|(name, lost, speed)| trial(name, lost, speed, 100))
        .to_vec();
    let found = names(&trials, outranked(&trials, &latency()));
    assert_eq!(
        found,
        ["d: 0.167 ms; a takes 0.111 ms (seen on 100 images)", "f: 0.250 ms; a takes 0.111 ms (seen on 100 images)"]
    );
    let few = &trials[..LEAST_CANDIDATES];
    assert!(outranked(few, &latency()).is_empty());
}

#[test]
fn who_wins() {
    let mut trials = vec![
        exactly(trial("fast", 1, 9.0, 90), -1.0),
        exactly(trial("good", 1, 6.0, 100), -0.4),
        exactly(trial("small", 1, 4.0, 40), -0.3),
        exactly(trial("exact", 0, 3.0, 250), 0.1),
    ];
    for (objective, name) in [(Objective::Latency, "good"), (Objective::Size, "small"), (Objective::Accuracy, "exact")]
    {
        let search = search(objective);
        assert_eq!(leader(&trials, &search).map(|i| trials[i].name()), Some(name), "{objective:?}");
    }
    // What was outranked by others that failed later comes back; what broke a gate does not.
    let by_others = behind_of(&trials[1], &trials[0], &latency());
    trials[1].verdict = by_others;
    assert_eq!(leader(&trials, &latency()), Some(1));
    settle(&mut trials, 1, &latency());
    let why: Vec<String> = trials.iter().map(|t| t.verdict.as_ref().unwrap().to_string()).collect();
    assert_eq!(why[0], "accuracy drop 1.00 points, limit 0.50 points (-1.00 to -1.00 points on 100 images)");
    assert_eq!(why[1], "chosen");
    assert_eq!(why[3], "0.333 ms; good takes 0.167 ms (seen on 100 images)");
}

/// On 100 images the first may be the luckiest; the second has been seen on all.
#[test]
fn no_time_to_see_all_images() {
    let mut trials = vec![trial("lucky", 0, 6.0, 100), exactly(trial("sure", 0, 4.0, 150), -0.3)];
    assert_eq!((leader(&trials, &latency()), surest(&trials, &latency())), (Some(0), Some(1)));
    settle(&mut trials, 1, &latency());
    let why = trials[0].verdict.as_ref().unwrap().to_string();
    assert!(why.starts_with("no time to see all images: -"), "{why}");
    assert!(why.contains("on 100; at worst accuracy drop") && why.ends_with("limit 0.50 points"), "{why}");
    assert_eq!(surest(&trials[..1], &latency()), None);
}

#[test]
fn where_none_keeps_the_gates() {
    let mut trials = vec![
        exactly(trial("far", 1, 9.0, 90), -3.0),
        exactly(trial("near", 1, 6.0, 100), -0.6),
        exactly(trial("slow", 1, 0.5, 100), -0.55),
    ];
    assert_eq!(leader(&trials, &latency()), None);
    assert_eq!(nearest(&trials, &latency()), Some(1), "one gate, and nearer to it");
    settle(&mut trials, 1, &latency());
    let why = trials[1].verdict.as_ref().unwrap().to_string();
    assert_eq!(why, "none keeps every gate; the nearest: accuracy drop 0.60 points, limit 0.50 points");
    assert_eq!(nearest(&[], &latency()), None);
}

#[test]
fn a_gate_on_memory_waits_until_it_is_measured() {
    let mut search = latency();
    search.limits.max_memory_bytes = Some(100.0);
    let mut trials = vec![exactly(trial("t", 0, 2.0, 100), 0.0)];
    assert_eq!(leader(&trials, &search), Some(0));
    trials[0].estimates[0].memory_bytes = Some(101);
    assert_eq!(leader(&trials, &search), None);
}

#[test]
fn what_need_not_be_tried() {
    let fresh = |ladder, percent, instead_of: Option<&str>| {
        let mut trial = on(ladder, percent, trial("next", 0, 1.0, 1));
        trial.entry.instead_of = instead_of.map(str::to_owned);
        trial.estimates.clear();
        trial
    };
    let failed = Verdict::Failed(Failure { reason: FailureReason::InvalidRecipe, message: "no".into() });
    let gate = |certain| Verdict::BreaksGate {
        broken: trial("x", 50, 2.0, 1).surely_broken(&latency()),
        change: Bounds { low: -60.0, value: -50.0, high: -40.0 },
        images: 100,
        certain,
    };
    let with = |verdict: Option<Verdict>| Trial { verdict, ..on(Ladder::Prune, 50, trial("half", 0, 2.0, 500)) };
    for (case, before, next, expected) in [
        ("lost", with(Some(gate(true))), fresh(Ladder::Prune, 35, None), "not tried: half asks less"),
        ("perhaps lost", with(Some(gate(false))), fresh(Ladder::Prune, 35, None), ""),
        ("a milder one", with(Some(gate(true))), fresh(Ladder::Prune, 70, None), ""),
        ("another ladder", with(Some(gate(true))), fresh(Ladder::Distill, 35, None), ""),
        ("failed", with(Some(failed.clone())), fresh(Ladder::Prune, 35, None), "not tried: half asks less"),
        ("good without", with(None), fresh(Ladder::Distill, 50, Some("half")), "not tried: half takes less time"),
        ("bad without", with(Some(gate(true))), fresh(Ladder::Distill, 50, Some("half")), ""),
        ("impossible without", with(Some(failed)), fresh(Ladder::Distill, 50, Some("half")), "not tried: half asks"),
    ] {
        let trials = [before, next];
        let found = skip(&trials, 1, &latency()).map(|v| v.to_string()).unwrap_or_default();
        assert!(found.starts_with(expected) && found.is_empty() == expected.is_empty(), "{case}: {found}");
    }
    // Where accuracy is what is wanted, it is worth its time.
    let trials = [with(None), fresh(Ladder::Distill, 50, Some("half"))];
    assert_eq!(skip(&trials, 1, &search(Objective::Accuracy)), None);
}
