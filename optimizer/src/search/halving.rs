//! Successive halving: all candidates on few images, then the better half of those that can still win on more.

use drydock_contract::{Gate, Search};

use super::estimate::Estimate;
use super::space::Entry;
use super::trial::Trial;
use super::verdict::Verdict;
use crate::interrupt::Interrupted;

/// Fewer images say nothing: a point is five of them.
const LEAST_IMAGES: usize = 500;
/// So many stay in the running, however few there are.
const LEAST_CANDIDATES: usize = 3;

/// Evaluation images of each round, all of them in the last.
pub(super) fn rounds(images: usize) -> Vec<usize> {
    let mut rounds = vec![(images / 10).max(LEAST_IMAGES), (images / 3).max(3 * LEAST_IMAGES), images];
    rounds.retain(|n| *n < images);
    rounds.push(images);
    rounds.dedup();
    rounds
}

/// Why this one need not be tried, after what became of others.
pub(super) fn skip(trials: &[Trial], at: usize, search: &Search) -> Option<Verdict> {
    let Entry { step, instead_of, .. } = &trials.get(at)?.entry;
    let lost = |t: &&Trial| match &t.verdict {
        Some(Verdict::BreaksGate { broken, certain: true, .. }) => broken.iter().any(|b| b.gate == Gate::AccuracyDrop),
        Some(Verdict::Failed(_)) => true,
        _ => false,
    };
    let milder = step.and_then(|(ladder, percent)| {
        let is_milder = |t: &&Trial| t.entry.step.is_some_and(|(l, p)| l == ladder && p > percent);
        trials.iter().filter(is_milder).find(lost)
    });
    if let Some(milder) = milder {
        return Some(Verdict::Hopeless { like: milder.name().to_owned() });
    }
    let plain = trials.iter().find(|t| Some(t.name()) == instead_of.as_deref())?;
    if matches!(plain.verdict, Some(Verdict::Failed(_))) {
        return Some(Verdict::Hopeless { like: plain.name().to_owned() });
    }
    let keeps = plain.running().is_some() && plain.broken(search).is_empty();
    (keeps && search.objective != drydock_contract::Objective::Accuracy)
        .then(|| Verdict::Unneeded { by: plain.name().to_owned() })
}

/// Those in the running that have lost whatever comes.
pub(super) fn lost(trials: &[Trial], search: &Search) -> Result<Vec<(usize, Verdict)>, Interrupted> {
    let running: Vec<(usize, &Trial, &Estimate)> =
        trials.iter().enumerate().filter_map(|(i, t)| Some((i, t, t.running()?))).collect();
    let mut lost = Vec::new();
    for (at, trial, estimate) in &running {
        let broken = trial.surely_broken(search);
        if !broken.is_empty() {
            let (images, change) = (estimate.images, estimate.change);
            lost.push((*at, Verdict::BreaksGate { broken, change, images, certain: true }));
            continue;
        }
        for (_, other, against) in &running {
            if against.bytes > estimate.bytes || against.speedup.low < estimate.speedup.high {
                continue;
            }
            let change = trial.answered.change(&other.answered)?;
            if change.low >= 0.0 {
                let images = trial.answered.len().min(other.answered.len());
                lost.push((*at, Verdict::Dominated { by: other.name().to_owned(), change, images }));
                break;
            }
        }
    }
    Ok(lost)
}

/// Those in the running that are not in the better half by the objective. The best that keeps the gates as far as is known
/// stays in any case: those before it may all turn out to break one.
pub(super) fn outranked(trials: &[Trial], search: &Search) -> Vec<(usize, Verdict)> {
    let ranked = ranked(trials, search, |t| t.running().is_some());
    let keep = ranked.len().div_ceil(2).max(LEAST_CANDIDATES);
    let safe = ranked.iter().position(|i| trials[*i].broken(search).is_empty());
    let Some(best) = ranked.first().map(|i| &trials[*i]) else { return Vec::new() };
    let behind = ranked.iter().enumerate().skip(keep).filter(|(rank, _)| Some(*rank) != safe);
    behind.filter_map(|(_, i)| Some((*i, behind_of(&trials[*i], best, search)?))).collect()
}

/// The best by the objective of all that keep the gates as far as is known, those that were outranked too.
pub(super) fn leader(trials: &[Trial], search: &Search) -> Option<usize> {
    ranked(trials, search, |t| can_win(t) && t.broken(search).is_empty()).first().copied()
}

/// The same of those that keep the gates even if they have been lucky so far: where there is no time to see all images.
pub(super) fn surest(trials: &[Trial], search: &Search) -> Option<usize> {
    ranked(trials, search, |t| can_win(t) && t.perhaps_broken(search).is_empty()).first().copied()
}

fn can_win(trial: &Trial) -> bool {
    matches!(trial.verdict, None | Some(Verdict::Outranked { .. })) && trial.latest().is_some()
}

/// Where none keeps them: the one that breaks the fewest, and of those the most accurate.
pub(super) fn nearest(trials: &[Trial], search: &Search) -> Option<usize> {
    let measured = trials.iter().enumerate().filter_map(|(i, t)| Some((i, t, t.latest()?)));
    let key = |t: &Trial, e: &Estimate| (t.broken(search).len(), -e.change.value);
    let best = measured.min_by(|(_, a, x), (_, b, y)| {
        let (a, b) = (key(a, x), key(b, y));
        a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
    });
    best.map(|(i, ..)| i)
}

/// What became of everyone, now that one is chosen.
pub(super) fn settle(trials: &mut [Trial], chosen: usize, search: &Search) {
    let broken = trials[chosen].broken(search);
    trials[chosen].verdict = Some(if broken.is_empty() { Verdict::Chosen } else { Verdict::Nearest { broken } });
    let winner = trials[chosen].clone();
    for trial in trials.iter_mut() {
        let Some(estimate) = trial.running() else { continue };
        let broken = trial.broken(search);
        let Estimate { images, change, all_images, .. } = *estimate;
        let numbers = |t: &Trial| t.latest().map(Estimate::numbers).unwrap_or_default();
        trial.verdict = if !broken.is_empty() {
            Some(Verdict::BreaksGate { broken, change, images, certain: all_images })
        } else if search.objective.compare(&numbers(trial), &numbers(&winner)).is_lt() {
            Some(Verdict::Unsure { broken: trial.perhaps_broken(search), change, images })
        } else {
            behind_of(trial, &winner, search)
        };
    }
}

fn behind_of(trial: &Trial, best: &Trial, search: &Search) -> Option<Verdict> {
    let (own, other) = (trial.latest()?, best.latest()?);
    Some(Verdict::outranked(best.name(), search.objective, &own.numbers(), &other.numbers(), own.images))
}

/// The better one first; of equals the one that came first.
pub(super) fn ranked(trials: &[Trial], search: &Search, which: impl Fn(&Trial) -> bool) -> Vec<usize> {
    let mut ranked: Vec<usize> = (0..trials.len()).filter(|i| which(&trials[*i])).collect();
    let numbers = |i: usize| trials[i].latest().map(Estimate::numbers).unwrap_or_default();
    ranked.sort_by(|a, b| search.objective.compare(&numbers(*a), &numbers(*b)));
    ranked
}

#[cfg(test)]
pub(super) mod tests;
