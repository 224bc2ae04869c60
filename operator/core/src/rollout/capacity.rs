/// Ready canary pods that `weight` percent of the requests need, when `stable` pods answer all of them.
pub fn needed(weight: i32, stable: i32) -> i32 {
    let share = i64::from(weight.clamp(0, 100)) * i64::from(stable.max(0));
    i32::try_from(share.unsigned_abs().div_ceil(100)).unwrap_or(i32::MAX).max(1)
}

/// The share, in percent and at most `weight`, that `canary` ready pods can take.
pub fn cap(weight: i32, canary: i32, stable: i32) -> i32 {
    if canary >= needed(weight, stable) {
        return weight;
    }
    let able = i64::from(canary.max(0)) * 100 / i64::from(stable.max(1));
    weight.min(i32::try_from(able).unwrap_or(100))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_the_share_needs_and_never_none() {
        for (weight, stable, expected) in [
            (10, 1, 1),
            (10, 10, 1),
            (11, 10, 2),
            (50, 3, 2),
            (100, 3, 3),
            (1, 0, 1),
            (100, 0, 1),
            (34, 3, 2),
            (33, 3, 1),
        ] {
            assert_eq!(needed(weight, stable), expected, "{weight} % of {stable}");
        }
    }

    #[test]
    fn never_more_than_the_ready_pods_can_take() {
        for stable in 0..12 {
            for canary in 0..12 {
                for weight in 1..=100 {
                    let capped = cap(weight, canary, stable);
                    assert!(capped <= weight);
                    assert!(canary > 0 || capped == 0);
                    assert!(capped * stable <= 100 * canary, "{weight} % {canary} of {stable}: {capped}");
                }
            }
        }
        assert_eq!(cap(50, 1, 4), 25);
    }
}
