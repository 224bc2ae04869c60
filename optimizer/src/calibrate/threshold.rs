//! Ranges that cut off rare large values where that serves the others.

use super::Histogram;
use drydock_contract::Activations;

use crate::passes::Affine;

/// Ranges that are tried for the least error, from a hundredth of what was seen to all of it.
const TRIALS: u32 = 100;
/// Bins of magnitudes, and how many the threshold moves by from one trial to the next.
const MAGNITUDES: usize = 2048;
const STRIDE: usize = 8;
/// What an empty bin gets, so that the divergence is finite.
const SMOOTHING: f64 = 1e-4;

/// The range with the least mean squared error: the end above, then the end below, twice. `None` before any value.
pub fn least_error(histogram: &Histogram) -> Option<(f32, f32)> {
    let (min, max) = histogram.seen()?;
    let bins: Vec<(f64, f64)> = histogram.bins().filter(|(_, n)| *n > 0).map(|(v, n)| (v, n as f64)).collect();
    // From the widest on, so that of equal errors the widest range is kept.
    let shares = || (1..=TRIALS).rev().map(|trial| trial as f32 / TRIALS as f32);
    let least = |range: &dyn Fn(f32) -> (f32, f32)| {
        let tried = shares().map(|share| (error(&bins, range(share)), range(share)));
        tried.reduce(|best, next| if next.0 < best.0 { next } else { best }).map_or((min, max), |(_, range)| range)
    };
    let mut range = (min, max);
    for _ in 0..2 {
        let low = range.0;
        let high = least(&|share| (low, max * share)).1;
        range = least(&|share| (min * share, high));
    }
    Some(range)
}

/// The sum of squared errors of the bins' values when they are quantized over the range.
fn error(bins: &[(f64, f64)], (min, max): (f32, f32)) -> f64 {
    // Of the one form for all targets: where the range ends matters more than how many codes lie in it.
    let affine = Affine::over(min, max, Activations::Unsigned);
    let (low, high) = affine.reach();
    let (low, high, scale) = (f64::from(low), f64::from(high), f64::from(affine.scale));
    let squared = |(value, count): &(f64, f64)| {
        let nearest = ((value / scale).round_ties_even() * scale).clamp(low, high);
        count * (value - nearest) * (value - nearest)
    };
    bins.iter().map(squared).sum()
}

/// The range up to the magnitude at which the distribution, merged to as many levels as there are codes, diverges least
/// from the one seen: S. Migacz, "8-bit Inference with TensorRT" (GTC 2017), pages 38 to 40; ONNX Runtime's "Entropy" is
/// the same. Values of one sign have all 256 codes for their magnitudes, others half of them. `None` before any value.
pub fn least_divergence(histogram: &Histogram) -> Option<(f32, f32)> {
    let (min, max) = histogram.seen()?;
    let largest = f64::from(min.abs().max(max.abs()));
    if largest < f64::from(f32::MIN_POSITIVE) {
        return Some((min, max));
    }
    let levels = if min < 0.0 && max > 0.0 { 128 } else { 256 };
    let width = largest / MAGNITUDES as f64;
    let mut counts = vec![0.0; MAGNITUDES];
    let half = histogram.width() / 2.0;
    for (value, count) in histogram.bins().filter(|(_, n)| *n > 0) {
        // Spread over what it overlaps: put into one each, bins of other widths would leave a pattern of their own.
        let (from, to) = ((value.abs() - half).max(0.0) / width, (value.abs() + half) / width);
        let (first, last) = ((from as usize).min(MAGNITUDES - 1), (to as usize).min(MAGNITUDES - 1));
        for (i, counted) in counts.iter_mut().enumerate().take(last + 1).skip(first) {
            let (start, end) = (if i == first { from } else { i as f64 }, if i == last { to } else { (i + 1) as f64 });
            *counted += count as f64 * ((end - start) / (to - from).max(f64::MIN_POSITIVE)).clamp(0.0, 1.0);
        }
    }
    // The many zeros behind a ReLU are exact at every threshold; counted, they would drown the rest.
    counts[0] = counts[1];
    let mut best = (f64::INFINITY, MAGNITUDES);
    // From the widest on, so that of equal divergences the widest range is kept.
    for kept in (levels..=MAGNITUDES).rev().step_by(STRIDE) {
        let divergence = divergence(&counts, kept, levels);
        if divergence < best.0 {
            best = (divergence, kept);
        }
    }
    let threshold = (best.1 as f64 * width) as f32;
    Some((min.max(-threshold), max.min(threshold)))
}

/// Of the first `kept` bins, the rest counted in the last of them, from the same merged to `levels`.
fn divergence(counts: &[f64], kept: usize, levels: usize) -> f64 {
    let mut seen = counts[..kept].to_vec();
    let mut merged = vec![0.0; kept];
    for level in 0..levels {
        let (from, to) = (level * kept / levels, (level + 1) * kept / levels);
        let filled = counts[from..to].iter().filter(|c| **c > 0.0).count();
        let share = counts[from..to].iter().sum::<f64>() / filled.max(1) as f64;
        for i in (from..to).filter(|i| counts[*i] > 0.0) {
            merged[i] = share;
        }
    }
    seen[kept - 1] += counts[kept..].iter().sum::<f64>();
    smooth(&mut seen);
    smooth(&mut merged);
    let (all_seen, all_merged): (f64, f64) = (seen.iter().sum(), merged.iter().sum());
    seen.iter().zip(&merged).map(|(p, q)| p / all_seen * (p / all_seen / (q / all_merged)).ln()).sum()
}

/// Takes a little from each filled bin for the empty ones.
fn smooth(counts: &mut [f64]) {
    let empty = counts.iter().filter(|c| **c <= 0.0).count();
    let filled = counts.len() - empty;
    if empty == 0 || filled == 0 {
        counts.iter_mut().filter(|c| **c <= 0.0).for_each(|c| *c = SMOOTHING);
        return;
    }
    let taken = SMOOTHING * empty as f64 / filled as f64;
    for count in counts {
        *count = if *count > 0.0 { (*count - taken).max(SMOOTHING) } else { SMOOTHING };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f32]) -> Histogram {
        let mut histogram = Histogram::default();
        let (min, max) = values.iter().fold((f32::MAX, f32::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
        histogram.add(values, min, max);
        histogram
    }

    /// Sums of twelve uniform values: near to normal, of deviation 1.
    fn bell(count: usize) -> Vec<f32> {
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 24) as f32
        };
        (0..count).map(|_| (0..12).map(|_| next()).sum::<f32>() - 6.0).collect()
    }

    #[test]
    fn a_few_far_values_are_cut_off_and_many_are_not() {
        // Two million near zero, or cutting off one far value costs more than it saves.
        let normal = bell(20_000);
        let with = |far: usize| {
            let mut histogram = of(&vec![40.0; far]);
            (0..100).for_each(|_| histogram.add(&normal, -6.0, 6.0));
            histogram
        };
        for (name, method) in [("error", least_error as fn(&Histogram) -> _), ("divergence", least_divergence)] {
            let (low, high) = method(&with(1)).unwrap();
            assert!(low < -3.0 && (3.0..20.0).contains(&high), "{name}: {low} to {high}");
        }
        let (_, high) = least_error(&with(50_000)).unwrap();
        assert!(high > 39.0, "{high}");
    }

    #[test]
    fn a_ramp_is_kept_whole() {
        let ramp: Vec<f32> = (0..=20_000_i16).map(|i| f32::from(i) / 100.0).collect();
        for (name, method) in [("error", least_error as fn(&Histogram) -> _), ("divergence", least_divergence)] {
            let (low, high) = method(&of(&ramp)).unwrap();
            assert!(low.abs() < 1e-6 && high > 195.0, "{name}: {low} to {high}");
        }
    }

    #[test]
    fn extremes() {
        for method in [least_error, least_divergence] {
            assert_eq!(method(&Histogram::default()), None);
            assert_eq!(method(&of(&[0.0; 5])), Some((0.0, 0.0)));
            for one in [3.0, -3.0] {
                let (low, high) = method(&of(&[one; 9])).unwrap();
                assert!(low.min(0.0) <= one + 0.01 && high.max(0.0) >= one - 0.01, "{one}: {low} to {high}");
            }
            let (low, high) = method(&of(&[-f32::MAX, f32::MAX])).unwrap();
            assert!(low.is_finite() && high.is_finite());
        }
    }
}
