/// A layer that may become two.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    pub rows: usize,
    pub columns: usize,
    /// Outputs of one channel that one inference calculates.
    pub positions: usize,
    /// Variance of the outputs along their principal components, largest first.
    pub spectrum: Vec<f64>,
}

/// For each candidate its rank, or none where it stays whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    pub ranks: Vec<Option<usize>>,
    /// Multiply-accumulates of the candidates with these ranks.
    pub macs: u64,
}

impl Candidate {
    pub fn macs(&self, rank: Option<usize>) -> u64 {
        let factors = rank.map_or(self.rows * self.columns, |r| r * (self.rows + self.columns));
        (factors * self.positions) as u64
    }

    /// Ranks that save something, smallest first: multiples of what vector instructions work on.
    fn ranks(&self) -> impl Iterator<Item = usize> + use<> {
        let step = (self.rows / 4).clamp(1, 8);
        let (rows, columns) = (self.rows, self.columns);
        (1..).map(move |i| i * step).take_while(move |r| r * (rows + columns) < rows * columns)
    }

    /// -ln of the share of the variance that the rank keeps. Summed over layers, the product of the shares (Zhang et al.
    /// 2015): a layer that would lose nearly everything costs far more than its neighbours gain.
    fn loss(&self, rank: Option<usize>) -> f64 {
        let Some(rank) = rank else { return 0.0 };
        let total: f64 = self.spectrum.iter().sum();
        let kept: f64 = self.spectrum.iter().take(rank).sum();
        if total > 0.0 { -(kept / total).clamp(f64::MIN_POSITIVE, 1.0).ln() } else { 0.0 }
    }
}

/// Takes multiply-accumulates away where each costs the least loss, until at most `budget` are left or no candidate has a
/// lower rank; what the last step took too much is given back where it helps most. Equal inputs give equal ranks.
pub fn choose(candidates: &[Candidate], budget: u64) -> Choice {
    let mut ranks: Vec<Option<usize>> = vec![None; candidates.len()];
    let macs = |ranks: &[Option<usize>]| candidates.iter().zip(ranks).map(|(c, r)| c.macs(*r)).sum::<u64>();
    while macs(&ranks) > budget {
        let mut best: Option<(f64, usize, usize)> = None;
        for (i, candidate) in candidates.iter().enumerate() {
            let (loss, cost) = (candidate.loss(ranks[i]), candidate.macs(ranks[i]));
            for rank in candidate.ranks().take_while(|r| ranks[i].is_none_or(|now| *r < now)) {
                let saved = (cost - candidate.macs(Some(rank))) as f64;
                let price = (candidate.loss(Some(rank)) - loss) / saved;
                if best.is_none_or(|(least, ..)| price < least) {
                    best = Some((price, i, rank));
                }
            }
        }
        let Some((_, i, rank)) = best else { break };
        ranks[i] = Some(rank);
    }
    let mut left = budget.saturating_sub(macs(&ranks));
    loop {
        let mut best: Option<(f64, usize, Option<usize>, u64)> = None;
        for (i, candidate) in candidates.iter().enumerate() {
            let Some(now) = ranks[i] else { continue };
            let next = candidate.ranks().find(|r| *r > now);
            let cost = candidate.macs(next) - candidate.macs(Some(now));
            let gain = (candidate.loss(Some(now)) - candidate.loss(next)) / cost.max(1) as f64;
            if cost <= left && best.is_none_or(|(most, ..)| gain > most) {
                best = Some((gain, i, next, cost));
            }
        }
        let Some((_, i, rank, cost)) = best else { break };
        ranks[i] = rank;
        left -= cost;
    }
    Choice { macs: macs(&ranks), ranks }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(rows: usize, columns: usize, spectrum: &[f64]) -> Candidate {
        Candidate { rows, columns, positions: 10, spectrum: spectrum.to_vec() }
    }

    #[test]
    fn takes_where_it_costs_least_and_keeps_the_budget() {
        let flat = candidate(64, 64, &[1.0; 64]);
        let steep = candidate(64, 64, &(0..64).map(|i| 0.5_f64.powi(i)).collect::<Vec<_>>());
        let whole = flat.macs(None);
        for (name, candidates, budget, expected) in [
            ("enough", vec![flat.clone()], whole, vec![None]),
            ("one that may go", vec![flat.clone(), steep.clone()], whole + steep.macs(Some(8)), vec![None, Some(8)]),
            ("half of one", vec![flat.clone()], whole / 2, vec![Some(16)]),
            ("nothing is enough", vec![flat.clone(), steep.clone()], 0, vec![Some(8), Some(8)]),
            ("too thin to split", vec![candidate(1, 9, &[1.0])], 0, vec![None]),
            ("constant outputs", vec![candidate(8, 8, &[0.0; 8])], 0, vec![Some(2)]),
            ("no spectrum", vec![candidate(8, 8, &[])], 0, vec![Some(2)]),
            ("no candidates", vec![], 0, vec![]),
        ] {
            let choice = choose(&candidates, budget);
            assert_eq!(choice.ranks, expected, "{name}");
            let least: u64 =
                candidates.iter().map(|c| c.ranks().next().map_or(c.macs(None), |r| c.macs(Some(r)))).sum();
            assert!(choice.macs <= budget.max(least), "{name}: {}", choice.macs);
        }
    }

    #[test]
    fn gives_back_what_the_last_step_took_too_much() {
        // The cheapest step leads over a cliff from 32 to 8.
        let mut spectrum = vec![1.0; 8];
        spectrum.extend([1e-9; 56]);
        let choice = choose(&[candidate(128, 64, &spectrum)], 128 * 64 * 10 / 2);
        assert_eq!(choice.ranks, [Some(16)]);
    }
}
