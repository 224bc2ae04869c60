use crate::bounds::Detected;

/// More are not looked at: the scores of what comes after them are the lowest of an image.
const LOOKED_AT: usize = 30_000;

/// How many boxes are left at most, those with the highest scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Most {
    OfImage(usize),
    /// In each image.
    OfClass(usize),
}

impl Most {
    fn has_room(self, kept: &[Detected], class: usize) -> bool {
        match self {
            Self::OfImage(most) => kept.len() < most,
            Self::OfClass(most) => kept.iter().filter(|k| k.class == class).count() < most,
        }
    }
}

/// Non-maximum suppression within each class: of two boxes with an intersection over union above `iou` the one with the lower score
/// is dropped. The highest score is first, equal ones are in the order that they came in.
pub fn suppress(found: Vec<Detected>, iou: f64, most: Most) -> Vec<Detected> {
    pick(found, most, |kept, next| kept.iter().all(|k| k.class != next.class || k.bounds.iou(next.bounds) <= iou))
}

/// All but those that are too many, the highest score first.
pub(crate) fn ranked(found: Vec<Detected>, most: Most) -> Vec<Detected> {
    pick(found, most, |_, _| true)
}

fn pick(mut found: Vec<Detected>, most: Most, is_wanted: impl Fn(&[Detected], &Detected) -> bool) -> Vec<Detected> {
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut kept: Vec<Detected> = Vec::new();
    for next in found.into_iter().take(LOOKED_AT) {
        if most.has_room(&kept, next.class) && is_wanted(&kept, &next) {
            kept.push(next);
        }
    }
    kept
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
        let (all, of_image) = (Most::OfImage(9), Most::OfImage);
        let kept = suppress(found.clone(), 1.0 / 3.0, all);
        assert_eq!(kept, [at(0, 0.9, 0.0), at(0, 0.9, 40.0), at(1, 0.4, 0.0), at(0, 0.3, 5.0)]);
        assert_eq!(suppress(found.clone(), 1.0 / 3.0, of_image(2)), kept[..2]);
        assert_eq!(suppress(found.clone(), 1.0 / 3.0, Most::OfClass(2)), kept[..3], "two of class 0, one of class 1");
        assert_eq!(ranked(found.clone(), Most::OfClass(1)), [kept[0], kept[2]]);
        assert_eq!(suppress(found.clone(), 0.3, all).len(), 3);
        assert_eq!(suppress(found, 1.0, all).len(), 5);
        assert!(suppress(Vec::new(), 0.5, all).is_empty());
    }
}
