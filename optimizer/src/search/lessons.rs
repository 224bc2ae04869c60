//! How long a student that is given is taught: lesson after lesson, each from where the one before ended, while it may still win.

use drydock_contract::{Gate, Objective, Search};

use super::answered::Answered;
use super::halving;
use super::space::{Entry, Pupil};
use super::trial::Trial;
use super::verdict::Verdict;
use crate::interrupt::Interrupted;

/// Of the time to make candidates, what all students have together.
pub(super) const SHARE: f64 = 0.5;

/// Times as many steps as all lessons before.
const GROWTH: u32 = 2;

/// Whether one that has had its lesson, and is measured, is worth another.
///
/// # Errors
/// The work was told to end.
pub(super) fn goes_on(trials: &[Trial], at: usize, search: &Search) -> Result<bool, Interrupted> {
    let Some((trial, pupil)) = trials.get(at).and_then(|t| Some((t, t.entry.pupil.as_ref()?))) else {
        return Ok(false);
    };
    // What it was taught does not change its speed, nor its size.
    if trial.latest().is_none() || trial.surely_broken(search).iter().any(|b| b.gate != Gate::AccuracyDrop) {
        return Ok(false);
    }
    if search.objective != Objective::Accuracy {
        let keeps_surely = trial.verdict.is_none() && trial.perhaps_broken(search).is_empty();
        let ranked = halving::ranked(trials, search, |t| {
            let is_same = t.entry.pupil.as_ref().is_some_and(|p| p.student == pupil.student);
            t.name() == trial.name() || !is_same && t.running().is_some() && t.broken(search).is_empty()
        });
        // It would be behind another, however right its answers.
        if keeps_surely || ranked.first() != Some(&at) {
            return Ok(false);
        }
    }
    let Some(before) = shorter(trials, pupil) else { return Ok(true) };
    Ok(before.change(&trial.answered)?.high > 0.0)
}

/// What the same student answered after the lesson before.
fn shorter<'t>(trials: &'t [Trial], pupil: &Pupil) -> Option<&'t Answered> {
    let of = |t: &'t Trial| t.entry.pupil.as_ref().filter(|p| p.student == pupil.student && p.steps < pupil.steps);
    let measured = trials.iter().filter(|t| t.latest().is_some());
    let last = measured.filter_map(|t| Some((of(t)?.steps, t))).max_by_key(|(steps, _)| *steps);
    last.map(|(_, t)| &t.answered)
}

/// Those in the running that the same student, taught longer, is no worse than.
///
/// # Errors
/// The work was told to end.
pub(super) fn outgrown(trials: &[Trial]) -> Result<Vec<(usize, Verdict)>, Interrupted> {
    let running: Vec<(usize, &Trial, &Pupil)> = trials
        .iter()
        .enumerate()
        .filter_map(|(i, t)| Some((i, t.running().map(|_| t)?, t.entry.pupil.as_ref()?)))
        .collect();
    let mut outgrown = Vec::new();
    for (at, trial, pupil) in &running {
        for (_, other, longer) in &running {
            if longer.student != pupil.student || longer.steps <= pupil.steps {
                continue;
            }
            let change = trial.answered.change(&other.answered)?;
            if change.value >= 0.0 {
                let images = trial.answered.len().min(other.answered.len());
                outgrown.push((*at, Verdict::Outgrown { by: other.name().to_owned(), change, images }));
                break;
            }
        }
    }
    Ok(outgrown)
}

/// The next lesson of one that took so many seconds for the last, where there are so many for it.
pub(super) fn next(entry: &Entry, took: f64, seconds: f64) -> Option<Entry> {
    let last = entry.recipe.techniques.iter().rev().find_map(|t| t.distill.as_ref())?;
    entry.taught_on(steps(entry.pupil.as_ref()?.steps, took / f64::from(last.steps), seconds)?)
}

/// Steps of the next lesson, in so many seconds: what is left after it is enough for another, or it takes all.
/// `None`: there is no time for as many as it has had.
fn steps(had: u32, seconds_per_step: f64, seconds: f64) -> Option<u32> {
    let fit = (seconds / seconds_per_step) as u32;
    let next = had.saturating_mul(GROWTH);
    if fit < had {
        return None;
    }
    let after = next.saturating_add(had).saturating_mul(GROWTH);
    Some(if fit < next.saturating_add(after) { round(fit) } else { next })
}

/// Down to two digits, to be read by people.
fn round(steps: u32) -> u32 {
    let unit = 10_u32.pow(steps.max(1).ilog10().saturating_sub(1));
    steps / unit * unit
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::halving::tests::{exactly, latency, search, trial};

    fn taught(steps: u32, trial: Trial) -> Trial {
        let pupil = Some(Pupil { student: "small".to_owned(), steps });
        Trial { entry: Entry { pupil, ..trial.entry }, ..trial }
    }

    #[test]
    fn a_lesson_is_twice_all_before_it_and_the_last_takes_the_time_that_is_left() {
        for (had, seconds, expected) in [
            (100, 49.0, None),
            (100, 50.0, Some(100)),
            (100, 399.0, Some(790)),
            (100, 400.0, Some(200)),
            (300, 1199.0, Some(2300)),
            (300, 1e9, Some(600)),
            (300, -1.0, None),
        ] {
            assert_eq!(steps(had, 0.5, seconds), expected, "{had} steps, {seconds} s left");
        }
    }

    #[test]
    fn who_is_worth_another_lesson() {
        let wrong = |speedup| taught(100, trial("first", 60, speedup, 100));
        let int8 = || trial("int8", 0, 3.0, 250);
        let goes = |trials: &[Trial], search: &Search| goes_on(trials, 0, search).unwrap();
        assert!(goes(&[wrong(9.0), int8()], &latency()), "it has lost as it is, and may learn");
        assert!(!goes(&[wrong(2.0), int8()], &latency()), "slower than what keeps the gates");
        assert!(!goes(&[wrong(0.5)], &latency()), "slower than the original, which is a gate");
        assert!(goes(&[wrong(2.0), int8()], &search(Objective::Accuracy)));
        assert!(!goes(&[trial("other", 60, 9.0, 100)], &latency()), "no student");
        assert!(!goes(&[taught(100, exactly(trial("first", 0, 9.0, 100), -0.3))], &latency()), "it keeps the gates");

        let after = |lost| [taught(300, trial("second", lost, 9.0, 100)), wrong(9.0)];
        assert!(goes(&after(50), &latency()) && goes(&after(61), &latency()));
        assert!(!goes(&after(90), &latency()), "it has surely become worse");
    }

    #[test]
    fn the_shorter_lesson_goes_where_the_longer_one_is_no_worse() {
        let of = |first, second| {
            let trials = [
                taught(100, trial("first", first, 9.0, 100)),
                trial("other", 5, 9.0, 100),
                taught(300, trial("second", second, 9.0, 100)),
            ];
            outgrown(&trials).unwrap().into_iter().map(|(i, v)| format!("{i}: {v}")).collect::<Vec<_>>()
        };
        assert_eq!(of(1, 2), [""; 0]);
        let found = of(20, 2);
        assert!(found.len() == 1 && found[0].starts_with("0: second is taught longer: +"), "{found:?}");
    }
}
