use super::*;

/// Noise in -0.5 to 0.5.
fn noise(rows: usize, columns: usize, seed: u64) -> Mat<f32> {
    let mut state = seed;
    Mat::from_fn(rows, columns, |_, _| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32 - 0.5
    })
}

const OPEN: (f32, f32) = (f32::NEG_INFINITY, f32::INFINITY);

fn problem<'a>(inputs: &'a Mat<f32>, targets: &'a Mat<f32>, prior: &'a Mat<f32>) -> Problem<'a> {
    let [inputs, targets, prior] = [inputs.as_ref(), targets.as_ref(), prior.as_ref()];
    Problem { inputs, targets, added: None, prior, limits: OPEN, ranks: None, kernel: 1, bias: true }
}

#[test]
fn what_fits_already_stays() {
    let (inputs, weights) = (noise(200, 6, 1), noise(4, 6, 2));
    let targets = Mat::from_fn(200, 4, |i, j| (0..6).map(|k| inputs[(i, k)] * weights[(j, k)]).sum::<f32>() + j as f32);
    for rank in [None, Some(4)] {
        let ranks = rank.map(|r| LayerRanks { input: None, output: Some(r) });
        let found = fit(&Problem { ranks, ..problem(&inputs, &targets, &weights) }).unwrap();
        assert!(found.error < 1e-9, "{rank:?}: {}", found.error);
        let whole = found.factors.weights();
        for i in 0..4 {
            assert!((found.bias[i] - i as f64).abs() < 1e-4, "{rank:?}");
            for j in 0..6 {
                assert!((whole[(i, j)] - f64::from(weights[(i, j)])).abs() < 1e-4, "{rank:?}");
            }
        }
    }
}

#[test]
fn a_rank_is_kept_and_costs_no_more_than_the_components_left_out() {
    let (inputs, left, right) = (noise(300, 8, 3), noise(6, 2, 4), noise(2, 8, 5));
    let weights = &left * &right;
    let targets = &inputs * weights.transpose();
    for (rank, least, most) in [(1, 1e-3, 1.0), (2, 0.0, 1e-9), (3, 0.0, 1e-9)] {
        let ranks = Some(LayerRanks { input: None, output: Some(rank) });
        let found = fit(&Problem { ranks, ..problem(&inputs, &targets, &weights) }).unwrap();
        let Factors { input: None, core, output: Some(output) } = &found.factors else { panic!("{found:?}") };
        assert_eq!((core.nrows(), output.ncols()), (rank as usize, rank as usize));
        assert!((least..=most).contains(&found.error), "rank {rank}: {}", found.error);
    }
}

/// Where `Relu` hides most of the target, fitting what it shows is better than fitting all.
#[test]
fn limits_are_used() {
    let (inputs, weights) = (noise(400, 4, 6), noise(3, 4, 7));
    let targets = Mat::from_fn(400, 3, |i, j| {
        let sum: f32 = (0..4).map(|k| inputs[(i, k)] * weights[(j, k)]).sum();
        if sum < 0.0 { sum * 40.0 } else { sum }
    });
    let shown = |f: &Fit| {
        let whole = f.factors.weights();
        let mut left = 0.0;
        for i in 0..400 {
            for j in 0..3 {
                let sum = f.bias[j] + (0..4).map(|k| f64::from(inputs[(i, k)]) * whole[(j, k)]).sum::<f64>();
                left += (sum.max(0.0) - f64::from(targets[(i, j)]).max(0.0)).powi(2);
            }
        }
        left
    };
    let zeros = Mat::zeros(3, 4);
    let blind = fit(&problem(&inputs, &targets, &zeros)).unwrap();
    let seeing = fit(&Problem { limits: (0.0, f32::INFINITY), ..problem(&inputs, &targets, &zeros) }).unwrap();
    assert!(shown(&seeing) < 0.3 * shown(&blind), "{} and {}", shown(&seeing), shown(&blind));
}

#[test]
fn what_is_added_is_made_up_for() {
    let (inputs, weights, added) = (noise(200, 5, 8), noise(3, 5, 9), noise(200, 3, 10));
    let targets =
        Mat::from_fn(200, 3, |i, j| (0..5).map(|k| inputs[(i, k)] * weights[(j, k)]).sum::<f32>() + added[(i, j)]);
    let found = fit(&Problem { added: Some(added.as_ref()), ..problem(&inputs, &targets, &weights) }).unwrap();
    assert!(found.error < 1e-9, "{}", found.error);
}

#[test]
fn hostile_samples() {
    let weights = noise(2, 3, 11);
    let zeros = Mat::<f32>::zeros(50, 3);
    let targets = Mat::from_fn(50, 2, |_, j| 1.5 + j as f32);
    // Constant inputs say nothing about the weights: they stay, and the bias does the work.
    for (name, inputs) in [("zeros", zeros), ("a constant", Mat::from_fn(50, 3, |_, j| j as f32 + 0.25))] {
        let found = fit(&problem(&inputs, &targets, &weights)).unwrap();
        let whole = found.factors.weights();
        assert!((whole[(0, 0)] - f64::from(weights[(0, 0)])).abs() < 1e-6, "{name}");
        let value = found.bias[1] + (0..3).map(|k| whole[(1, k)] * f64::from(inputs[(0, k)])).sum::<f64>();
        assert!((value - 2.5).abs() < 1e-6 && found.error.is_finite(), "{name}: {value}");
    }
    let same = Mat::from_fn(50, 3, |i, _| (i % 7) as f32);
    assert!(fit(&problem(&same, &targets, &weights)).unwrap().error.is_finite(), "a singular covariance");

    let mut bad = noise(50, 3, 12);
    bad[(4, 1)] = f32::NAN;
    assert!(matches!(fit(&problem(&bad, &targets, &weights)), Err(FitError::NotFinite)));
    let mut targets = targets;
    targets[(4, 1)] = f32::INFINITY;
    assert!(matches!(fit(&problem(&noise(50, 3, 13), &targets, &weights)), Err(FitError::NotFinite)));
}

#[test]
fn moments() {
    let samples = noise(500, 3, 14);
    let mut moments = Moments::new(3);
    moments.add(samples.subrows(0, 100));
    moments.add(samples.subrows(100, 400));
    let covariance = moments.covariance().unwrap();
    assert!((0..3).all(|i| (covariance[(i, i)] - 1.0 / 12.0).abs() < 0.01), "{covariance:?}");
    assert_eq!(Moments::new(2).covariance().unwrap(), Mat::<f64>::zeros(2, 2));

    // Neither number is one that float64 has, so its variance is not zero by itself.
    let mut constant = Moments::new(2);
    constant.add(Mat::from_fn(1001, 2, |_, j| 0.1 + j as f32 / 3.0).as_ref());
    assert_eq!(constant.covariance().unwrap(), Mat::<f64>::zeros(2, 2));
}
