use drydock_contract::LayerRanks;

/// A layer that may be split, with the ways to do it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Candidate {
    /// Cost of the layer as it is, in the unit of the budget.
    pub whole: f64,
    pub splits: Vec<Split>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Split {
    pub ranks: LayerRanks,
    pub cost: f64,
    /// -ln of the share of the output's variance that is kept. Summed over layers, the product of the shares (Zhang et al.
    /// 2015): a layer that would lose nearly everything costs far more than its neighbours gain.
    pub loss: f64,
}

/// For each candidate its ranks, or none where it stays whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    pub ranks: Vec<Option<LayerRanks>>,
    /// Of all candidates with these ranks.
    pub cost: f64,
}

impl Candidate {
    /// The splits that no other beats in both cost and loss, the dearest first.
    pub fn front(&self) -> Vec<Split> {
        let mut splits: Vec<Split> = self.splits.iter().filter(|s| s.cost < self.whole).copied().collect();
        splits.sort_by(|a, b| a.cost.total_cmp(&b.cost).then(a.loss.total_cmp(&b.loss)));
        let mut least = f64::INFINITY;
        splits.retain(|s| {
            s.loss < least && {
                least = s.loss;
                true
            }
        });
        splits.reverse();
        splits
    }
}

/// Takes cost away where each unit of it costs the least loss, until at most `budget` is left or no candidate has a cheaper
/// split; what the last step took too much is given back where it helps most. Equal inputs give equal ranks.
pub fn choose(candidates: &[Candidate], budget: f64) -> Choice {
    // Of each candidate the whole layer, and then its front.
    let whole = |c: &Candidate| Split { ranks: LayerRanks::default(), cost: c.whole, loss: 0.0 };
    let ways: Vec<Vec<Split>> =
        candidates.iter().map(|c| std::iter::once(whole(c)).chain(c.front()).collect()).collect();
    let mut at = vec![0_usize; ways.len()];
    let cost = |at: &[usize]| ways.iter().zip(at).map(|(w, i)| w[*i].cost).sum::<f64>();
    while cost(&at) > budget {
        let mut best: Option<(f64, usize, usize)> = None;
        for (layer, ways) in ways.iter().enumerate() {
            let now = ways[at[layer]];
            for (to, next) in ways.iter().enumerate().skip(at[layer] + 1) {
                let price = (next.loss - now.loss) / (now.cost - next.cost);
                if best.is_none_or(|(least, ..)| price < least) {
                    best = Some((price, layer, to));
                }
            }
        }
        let Some((_, layer, to)) = best else { break };
        at[layer] = to;
    }
    loop {
        let left = budget - cost(&at);
        let mut best: Option<(f64, usize, usize)> = None;
        for (layer, ways) in ways.iter().enumerate() {
            let now = ways[at[layer]];
            for (to, before) in ways.iter().enumerate().take(at[layer]) {
                let more = before.cost - now.cost;
                let gain = (now.loss - before.loss) / more;
                if more <= left && best.is_none_or(|(most, ..)| gain > most) {
                    best = Some((gain, layer, to));
                }
            }
        }
        let Some((_, layer, to)) = best else { break };
        at[layer] = to;
    }
    let ranks = ways.iter().zip(&at).map(|(w, i)| (*i > 0).then(|| w[*i].ranks)).collect();
    Choice { ranks, cost: cost(&at) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(rank: u32, cost: f64, loss: f64) -> Split {
        Split { ranks: LayerRanks { input: None, output: Some(rank) }, cost, loss }
    }

    /// A layer of cost 8 that loses `loss` for each part that is taken.
    fn even(loss: f64) -> Candidate {
        let splits = (1..8).map(|i| split(i, f64::from(i), loss * f64::from(8 - i))).collect();
        Candidate { whole: 8.0, splits }
    }

    #[test]
    fn takes_where_it_costs_least_and_keeps_the_budget() {
        let none = Candidate { whole: 8.0, splits: Vec::new() };
        let dear = Candidate { whole: 8.0, splits: vec![split(1, 9.0, 0.0)] };
        let free = Candidate { whole: 8.0, splits: vec![split(2, 2.0, 0.0)] };
        for (name, candidates, budget, expected) in [
            ("enough", vec![even(1.0)], 8.0, vec![None]),
            ("one that loses less", vec![even(1.0), even(0.1)], 12.0, vec![None, Some(4)]),
            ("half of one", vec![even(1.0)], 4.0, vec![Some(4)]),
            ("nothing is enough", vec![even(1.0), even(0.1)], 0.0, vec![Some(1), Some(1)]),
            ("no way to split", vec![none.clone(), even(1.0)], 10.0, vec![None, Some(2)]),
            ("dearer than whole", vec![dear], 0.0, vec![None]),
            ("nothing lost", vec![free, even(0.1)], 10.0, vec![Some(2), None]),
            ("no candidates", vec![], 0.0, vec![]),
        ] {
            let choice = choose(&candidates, budget);
            let found: Vec<Option<u32>> = choice.ranks.iter().map(|r| r.and_then(|r| r.output)).collect();
            assert_eq!(found, expected, "{name}");
            let least: f64 = candidates.iter().map(|c| c.front().last().map_or(c.whole, |s| s.cost)).sum();
            assert!(choice.cost <= budget.max(least), "{name}: {}", choice.cost);
        }
    }

    #[test]
    fn gives_back_what_the_last_step_took_too_much() {
        // The cheapest step leads over a cliff from 7 to 1.
        let splits = vec![split(1, 1.0, 0.01), split(4, 4.0, 0.009), split(7, 7.0, 0.0089)];
        let choice = choose(&[Candidate { whole: 8.0, splits }], 5.0);
        assert_eq!(choice.ranks[0].unwrap().output, Some(4));
    }

    #[test]
    fn a_front_has_nothing_that_another_beats() {
        let splits =
            vec![split(1, 5.0, 0.5), split(2, 4.0, 0.5), split(3, 3.0, 0.7), split(4, 3.5, 0.8), split(5, 2.0, 0.9)];
        let ranks: Vec<u32> = Candidate { whole: 8.0, splits }.front().iter().filter_map(|s| s.ranks.output).collect();
        assert_eq!(ranks, [2, 3, 5]);
    }
}
