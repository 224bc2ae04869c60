use proptest::prelude::*;

use super::*;

/// Noise in -0.5 to 0.5.
fn noise(rows: usize, columns: usize, seed: u64) -> Mat<f64> {
    let mut state = seed;
    Mat::from_fn(rows, columns, |_, _| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / (1_u64 << 24) as f64 - 0.5
    })
}

/// Of inputs that depend on one another.
fn covariance(columns: usize, seed: u64) -> Mat<f64> {
    let samples = noise(3 * columns, columns, seed) * noise(columns, columns, seed + 1);
    samples.transpose() * &samples
}

fn ranks(input: Option<u32>, output: Option<u32>) -> LayerRanks {
    LayerRanks { input, output }
}

/// Share of the outputs' variance that other weights lose.
fn lost(weights: &Mat<f64>, others: &Mat<f64>, covariance: &Mat<f64>) -> f64 {
    let left = weights - others;
    trace(&(&left * covariance * left.transpose())) / trace(&(weights * covariance * weights.transpose()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn full_rank_is_the_original(
        rows in 1_usize..9, channels in 1_usize..7, kernel in 1_usize..10, side in 0..3, seed in 0_u64..1000
    ) {
        let weights = noise(rows, channels * kernel, seed);
        let full = ranks((side != 1).then_some(channels as u32), (side != 0).then_some(rows.min(channels * kernel) as u32));
        let found = project(&weights, covariance(channels * kernel, seed), kernel, full).unwrap();
        let whole = found.weights();
        for (i, j) in (0..rows).flat_map(|i| (0..channels * kernel).map(move |j| (i, j))) {
            prop_assert!((whole[(i, j)] - weights[(i, j)]).abs() < 1e-6, "{} became {}", weights[(i, j)], whole[(i, j)]);
        }
    }

    /// What the choice is made by is what the factors give, and more of a rank never keeps less.
    #[test]
    fn the_table_tells_the_truth(rows in 2_usize..7, channels in 2_usize..6, kernel in 2_usize..5, seed in 0_u64..1000) {
        let (weights, covariance) = (noise(rows, channels * kernel, seed), covariance(channels * kernel, seed + 7));
        let inputs: Vec<usize> = (1..channels).collect();
        let outputs: Vec<usize> = (1..rows).collect();
        let table = kept_variance(&weights, &covariance, kernel, (&inputs, &outputs)).unwrap();
        prop_assert_eq!(table.len(), channels * rows - 1);
        let regular = regular(covariance.clone());
        for (ranks, share) in &table {
            let found = project(&weights, covariance.clone(), kernel, *ranks).unwrap();
            let expected = 1.0 - lost(&weights, &found.weights(), &regular);
            prop_assert!((share - expected).abs() < 1e-8, "{:?}: {} and {}", ranks, share, expected);
            for (more, kept) in &table {
                let wider = |a: Option<u32>, b: Option<u32>| a.unwrap_or(u32::MAX) <= b.unwrap_or(u32::MAX);
                if wider(ranks.input, more.input) && wider(ranks.output, more.output) {
                    prop_assert!(*kept >= share - 1e-9, "{:?} keeps {}, {:?} {}", ranks, share, more, kept);
                }
            }
        }
    }
}

/// Weights that are of low rank are found again, whatever the inputs.
#[test]
fn what_is_of_low_rank_loses_nothing() {
    let (rows, channels, kernel) = (12, 8, 9);
    let exact =
        Factors { input: Some(noise(3, channels, 1)), core: noise(4, 3 * kernel, 2), output: Some(noise(rows, 4, 3)) };
    let (weights, covariance) = (exact.weights(), covariance(channels * kernel, 4));
    for (ranks, least, most) in [
        (ranks(Some(3), Some(4)), 0.0, 1e-9),
        (ranks(Some(3), None), 0.0, 1e-9),
        (ranks(None, Some(4)), 0.0, 1e-9),
        (ranks(Some(2), Some(4)), 1e-3, 1.0),
        (ranks(Some(3), Some(3)), 1e-4, 1.0),
    ] {
        let found = project(&weights, covariance.clone(), kernel, ranks).unwrap();
        let lost = lost(&weights, &found.weights(), &covariance);
        assert!((least..=most).contains(&lost), "{ranks:?}: {lost}");
        let shape = |m: &Option<Mat<f64>>| m.as_ref().map(|m| (m.nrows(), m.ncols()));
        assert_eq!(shape(&found.input), ranks.input.map(|r| (r as usize, channels)));
        assert_eq!(shape(&found.output), ranks.output.map(|r| (rows, r as usize)));
    }
}

/// Channels that carry little are left out first, however large their weights are.
#[test]
fn weighted_by_what_the_layer_reads() {
    let (rows, channels, kernel) = (6, 6, 9);
    let mut weights = noise(rows, channels * kernel, 5);
    let mut covariance = covariance(channels * kernel, 6);
    for i in 0..rows {
        for j in 0..kernel {
            weights[(i, j)] *= 2.0;
        }
    }
    for i in 0..channels * kernel {
        for j in 0..kernel {
            covariance[(i, j)] *= 1e-4;
            covariance[(j, i)] *= 1e-4;
        }
    }
    let found = project(&weights, covariance, kernel, ranks(Some(5), None)).unwrap().weights();
    let size = |m: &Mat<f64>| (0..rows).map(|i| (0..kernel).map(|j| m[(i, j)].powi(2)).sum::<f64>()).sum::<f64>();
    assert!(size(&found) < 0.1 * size(&weights), "{} of {}", size(&found), size(&weights));
}

#[test]
fn outputs_that_do_not_change_are_kept_by_any_rank() {
    for (name, weights, covariance) in
        [("no weights", Mat::zeros(4, 18), covariance(18, 8)), ("constant inputs", noise(4, 18, 9), Mat::zeros(18, 18))]
    {
        let table = kept_variance(&weights, &covariance, 9, (&[1], &[1, 2])).unwrap();
        assert!(table.iter().all(|(_, share)| (0.0..=1.0).contains(share)), "{name}: {table:?}");
        let found = project(&weights, covariance, 9, ranks(Some(1), Some(2))).unwrap().weights();
        assert!((0..18).all(|j| found[(0, j)].is_finite()), "{name}");
    }
}

#[test]
fn not_finite() {
    let mut weights = noise(4, 18, 10);
    weights[(1, 3)] = f64::NAN;
    assert!(kept_variance(&weights, &covariance(18, 11), 9, (&[1], &[1])).is_err());
}
