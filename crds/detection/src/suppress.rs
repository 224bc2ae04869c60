use crate::bounds::Detected;

/// More are not looked at: the scores of what comes after them are the lowest of an image.
const MOST: usize = 30_000;

/// Non-maximum suppression within each class: of two boxes with an intersection over union above `iou` the one with the lower score
/// is dropped. At most `count` are left, the highest score first, equal ones in the order that they came in.
pub fn suppress(found: Vec<Detected>, iou: f64, count: usize) -> Vec<Detected> {
    let mut kept: Vec<Detected> = Vec::new();
    for next in ranked(found, MOST) {
        if kept.len() == count {
            break;
        }
        if kept.iter().all(|k| k.class != next.class || k.bounds.iou(next.bounds) <= iou) {
            kept.push(next);
        }
    }
    kept
}

/// The `count` with the highest scores, the highest first.
pub(crate) fn ranked(mut found: Vec<Detected>, count: usize) -> Vec<Detected> {
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    found.truncate(count);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Bounds;

    #[test]
    fn the_best_of_each_class_is_left() {
        let at = |class, score, left: f64| {
            let bounds = Bounds::of_edges([left, 0.0, left + 10.0, 10.0]);
            Detected { class, score, bounds }
        };
        // 1 beside 0: 9 of 11 in common. 5 beside 0: 5 of 15, which is not above 1/3.
        let found = vec![at(0, 0.5, 1.0), at(0, 0.9, 0.0), at(1, 0.4, 0.0), at(0, 0.3, 5.0), at(0, 0.9, 40.0)];
        let kept = suppress(found.clone(), 1.0 / 3.0, 9);
        assert_eq!(kept, [at(0, 0.9, 0.0), at(0, 0.9, 40.0), at(1, 0.4, 0.0), at(0, 0.3, 5.0)]);
        assert_eq!(suppress(found.clone(), 1.0 / 3.0, 2), kept[..2]);
        assert_eq!(suppress(found.clone(), 0.3, 9).len(), 3);
        assert_eq!(suppress(found, 1.0, 9).len(), 5);
        assert!(suppress(Vec::new(), 0.5, 9).is_empty());
    }
}
