use drydock_contract::LayerRanks;

use super::{Ranks, Splittable, Tables, candidate, named};
use crate::Error;
use crate::benchmark::{compare, cpu_times};
use crate::dataset::Dataset;
use crate::engine::Engine;
use crate::interrupt;
use crate::measure::run_shape;
use crate::onnx::{Graph, signature};
use crate::passes::{self, Candidate, Factors, Layer, Split};
use crate::progress::Progress;

/// Of the original's time: nearer to the budget than this is near enough.
const TOLERANCE: f64 = 0.02;
/// Choices that are measured as a whole.
const ATTEMPTS: u32 = 5;
const ROUNDS: u32 = 15;
/// Of models that are open at the same time, each of which ONNX Runtime has a copy of.
const MEASURED_BYTES: usize = 64 << 20;

/// Shares ranks out so that the whole model's measured CPU time keeps the budget. Each layer's ways to be split are measured as
/// models of their own; what a choice saves by their sum is then measured on the whole model, where layouts and fusions differ,
/// and the budget of the sum is corrected by what is found.
pub(super) fn by_latency(
    engine: &Engine,
    graph: &Graph,
    layers: &[Splittable],
    tables: &Tables,
    ratio: f64,
    calibration: &Dataset,
    progress: &mut Progress,
) -> Result<Ranks, Error> {
    if ratio >= 1.0 {
        return Ok(Ranks::new());
    }
    let shape = run_shape(&signature(graph)?.0, Some(calibration)).ok_or_else(|| {
        Error::Recipe(
            "factorize.latencyRatio: the model cannot be timed; expected one FP32 input of known shape".into(),
        )
    })?;
    let mut candidates = Vec::with_capacity(layers.len());
    for (l, table) in layers.iter().zip(tables) {
        candidates.push(timed(engine, graph, l, &candidate(l, table))?);
        progress.step("time", candidates.len(), layers.len(), "layers");
    }
    let original = graph.encode();
    let (found, ranks) = within(&candidates, ratio, |ranks| {
        let model = with_ranks(graph.clone(), &named(layers, ranks))?.encode();
        let latency = compare(engine, &original, Some(&model), &shape, ROUNDS, &mut Progress::silent())?.latency;
        Ok((latency.cpu, latency.original_cpu))
    })?;
    progress.note(&format!(
        "factorize: {:.1} % of the CPU time before, as measured with these ranks; at most {:.1} % was asked for",
        100.0 * found,
        100.0 * ratio
    ));
    Ok(named(layers, &ranks))
}

/// Of the choices that `measure` finds within the budget the one that takes most of it, and its share of the original's time. `measure`: milliseconds
/// of the whole model with these ranks, and of the original beside it.
fn within(
    candidates: &[Candidate],
    ratio: f64,
    mut measure: impl FnMut(&[Option<LayerRanks>]) -> Result<(f64, f64), Error>,
) -> Result<(f64, Vec<Option<LayerRanks>>), Error> {
    let whole: f64 = candidates.iter().map(|c| c.whole).sum();
    // Milliseconds that the layers must save by their own measurement; the model's total is not known yet.
    let mut wanted = whole * (1.0 - ratio);
    let mut tried = Tried { short: 0.0, enough: f64::INFINITY };
    let mut best: Option<(f64, Vec<Option<LayerRanks>>)> = None;
    let mut least = f64::INFINITY;
    for _ in 0..ATTEMPTS {
        let choice = passes::choose(candidates, whole - wanted);
        let (cpu, original) = measure(&choice.ranks)?;
        let found = cpu / original;
        least = least.min(found);
        if found <= ratio && best.as_ref().is_none_or(|(before, _)| found > *before) {
            best = Some((found, choice.ranks));
        }
        if (ratio - TOLERANCE..=ratio).contains(&found) {
            break;
        }
        // What the model saved for each millisecond that the layers did.
        let promised = whole - choice.cost;
        let proposed = original * (1.0 - ratio + TOLERANCE / 2.0) * promised / (original - cpu);
        wanted = tried.next((wanted, found <= ratio), proposed, whole);
    }
    best.ok_or_else(|| {
        Error::Recipe(format!(
            "factorize: the fastest choice of ranks that was measured takes {:.1} % of the CPU time; expected latencyRatio to be at least that, found {ratio}",
            100.0 * least
        ))
    })
}

/// Savings that were asked of the layers: the most that was too little for the whole model, and the least that was enough.
#[derive(Clone, Copy, Debug)]
struct Tried {
    short: f64,
    enough: f64,
}

impl Tried {
    /// What to ask for next: what is proposed, if it lies between. On a busy machine one measurement may propose anything; and where the layers gain
    /// alone and not together, it proposes less than nothing.
    fn next(&mut self, (asked, is_enough): (f64, bool), proposed: f64, whole: f64) -> f64 {
        if is_enough {
            self.enough = self.enough.min(asked);
        } else {
            self.short = self.short.max(asked);
        }
        let between = proposed > self.short && proposed < self.enough;
        if between { proposed } else { self.short.midpoint(self.enough.min(whole)) }
    }
}

/// The candidate by milliseconds. Of the splits of each form those are measured that no other beats in multiply-accumulates and loss.
fn timed(engine: &Engine, graph: &Graph, l: &Splittable, by_macs: &Candidate) -> Result<Candidate, Error> {
    let mut splits: Vec<Split> = Vec::new();
    for form in [(true, false), (false, true), (true, true)] {
        let of_form = |s: &&Split| (s.ranks.input.is_some(), s.ranks.output.is_some()) == form;
        let of_form = by_macs.splits.iter().filter(of_form).copied().collect();
        splits.extend(Candidate { whole: by_macs.whole, splits: of_form }.front());
    }
    if splits.is_empty() {
        return Ok(Candidate { whole: 0.0, splits });
    }
    let alone = passes::alone(graph, &l.layer, &l.input);
    let model = |ranks| -> Result<Vec<u8>, Error> {
        Ok(with_ranks(alone.clone(), &[(l.layer.output.clone(), ranks)].into())?.encode())
    };
    let unsplit = alone.encode();
    let mut whole = None;
    let mut rest = splits.as_mut_slice();
    while !rest.is_empty() {
        interrupt::check()?;
        let mut models = vec![unsplit.clone()];
        let mut bytes = 0;
        while models.len() <= rest.len() && bytes < MEASURED_BYTES {
            let model = model(rest[models.len() - 1].ranks)?;
            bytes += model.len();
            models.push(model);
        }
        let times = cpu_times(engine, &models, &l.input)?;
        // The layer as it is is in every group: what slows the machine meanwhile slows it as much.
        let scale = *whole.get_or_insert(times[0]) / times[0].max(f64::MIN_POSITIVE);
        let (measured, later) = rest.split_at_mut(models.len() - 1);
        for (split, time) in measured.iter_mut().zip(&times[1..]) {
            split.cost = time * scale;
        }
        rest = later;
    }
    Ok(Candidate { whole: whole.unwrap_or_default(), splits })
}

/// Split as these ranks say, with weights that stand for those to come: what a layer takes does not depend on them.
fn with_ranks(mut graph: Graph, ranks: &Ranks) -> Result<Graph, Error> {
    for (output, &LayerRanks { input, output: made }) in ranks {
        let Some(layer) = Layer::all(&graph)?.into_iter().find(|l| l.output == *output) else { continue };
        let (_, bias) = layer.weights(&graph)?;
        let factors = Factors::even(&layer, LayerRanks { input, output: made });
        graph = passes::split(graph, &layer, &factors, &bias);
    }
    Ok(graph)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four layers of 10 ms, each of which can be made faster in steps of half a millisecond, for more and more of what it loses.
    fn layers() -> Vec<Candidate> {
        let split = |layer: u32, step: u32| {
            let ranks = LayerRanks { input: Some(20 - step), output: None };
            Split { ranks, cost: 10.0 - 0.5 * f64::from(step), loss: f64::from(step * (step + layer)) }
        };
        let layer = |n| Candidate { whole: 10.0, splits: (1..18).map(|step| split(n, step)).collect() };
        (1..5).map(layer).collect()
    }

    /// Of a model that has 20 ms beside its layers, where they save `gain` times what they save alone.
    fn model(ranks: &[Option<LayerRanks>], gain: f64) -> (f64, f64) {
        let steps = ranks.iter().flatten().map(|r| f64::from(20 - r.input.unwrap()));
        (60.0 - gain * steps.map(|step| 0.5 * step).sum::<f64>(), 60.0)
    }

    #[test]
    fn the_budget_is_that_of_the_whole_model() {
        for gain in [0.4, 0.7, 1.0, 1.3] {
            for ratio in [0.8, 0.9] {
                let mut measured = Vec::new();
                let (found, ranks) = within(&layers(), ratio, |ranks| {
                    measured.push(model(ranks, gain));
                    Ok(measured[measured.len() - 1])
                })
                .unwrap();
                let (cpu, original) = model(&ranks, gain);
                assert!((cpu / original - found).abs() < 1e-12, "{gain}: what is told is another choice's");
                assert!((ratio - TOLERANCE..=ratio).contains(&found), "{gain}, {ratio}: {found} of {measured:?}");
            }
        }
    }

    #[test]
    fn what_was_measured_over_the_budget_is_not_taken() {
        // A busy machine: the first time half of what is saved is not seen, the second time twice as much is.
        let mut busy = [0.5, 2.0, 1.0, 1.0, 1.0].into_iter();
        let (found, _) = within(&layers(), 0.8, |ranks| Ok(model(ranks, busy.next().unwrap()))).unwrap();
        assert!((0.6..=0.8).contains(&found), "{found}");
        let error = within(&layers(), 0.3, |ranks| Ok(model(ranks, 0.5))).unwrap_err().to_string();
        let least = 100.0 * (60.0 - 0.5 * 4.0 * 8.5) / 60.0;
        assert!(error.contains(&format!("takes {least:.1} %")), "{error}");
    }

    #[test]
    fn a_guess_stays_between_what_was_tried() {
        for (what, steps) in [
            ("as proposed", &[(3.0, false, 5.0, 5.0), (5.0, true, 4.0, 4.0)][..]),
            ("no saving at all", &[(4.0, false, f64::NEG_INFINITY, 7.0), (7.0, false, f64::NAN, 8.5)]),
            ("more than all there is", &[(4.0, false, 30.0, 30.0)]),
            ("far beyond what was enough", &[(4.0, true, 2.0, 2.0), (2.0, false, 900.0, 3.0), (3.0, true, 0.1, 2.5)]),
        ] {
            let mut tried = Tried { short: 0.0, enough: f64::INFINITY };
            for (asked, is_enough, proposed, expected) in steps {
                let next = tried.next((*asked, *is_enough), *proposed, 10.0);
                assert!((next - expected).abs() < 1e-9, "{what}: {next}; expected {expected}");
            }
        }
    }
}
