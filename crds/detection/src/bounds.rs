/// A rectangle, in pixels. An edge may lie between two of them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bounds {
    pub left: f64,
    pub top: f64,
    pub right: f64,
    pub bottom: f64,
}

/// An object that a model has found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detected {
    pub class: usize,
    /// 0 to 1.
    pub score: f32,
    pub bounds: Bounds,
}

impl Bounds {
    /// Of a centre and lengths.
    pub fn of_centre([x, y, width, height]: [f64; 4]) -> Self {
        let (half_width, half_height) = (width / 2.0, height / 2.0);
        Self { left: x - half_width, top: y - half_height, right: x + half_width, bottom: y + half_height }
    }

    /// Left, top, right, bottom.
    pub fn of_edges([left, top, right, bottom]: [f64; 4]) -> Self {
        Self { left, top, right, bottom }
    }

    pub fn edges(self) -> [f64; 4] {
        [self.left, self.top, self.right, self.bottom]
    }

    pub fn area(self) -> f64 {
        (self.right - self.left).max(0.0) * (self.bottom - self.top).max(0.0)
    }

    /// What the two have in common.
    pub fn intersection(self, other: Self) -> f64 {
        let (a, b) = (self.edges(), other.edges());
        (a[2].min(b[2]) - a[0].max(b[0])).max(0.0) * (a[3].min(b[3]) - a[1].max(b[1])).max(0.0)
    }

    /// Intersection over union, 0 to 1; 0 of two that have no area.
    pub fn iou(self, other: Self) -> f64 {
        let common = self.intersection(other);
        if common > 0.0 { common / (self.area() + other.area() - common) } else { 0.0 }
    }

    pub(crate) fn is_finite(self) -> bool {
        self.edges().iter().all(|e| e.is_finite())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intersection_over_union() {
        let bounds = Bounds::of_edges;
        for (a, b, expected) in [
            ([0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 2.0], 1.0),
            ([0.0, 0.0, 2.0, 2.0], [1.0, 0.0, 3.0, 2.0], 1.0 / 3.0),
            ([0.0, 0.0, 2.0, 2.0], [2.0, 0.0, 4.0, 2.0], 0.0),
            ([0.0, 0.0, 2.0, 2.0], [3.0, 3.0, 4.0, 4.0], 0.0),
            ([0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0], 0.0),
            // Turned inside out, it holds nothing.
            ([2.0, 2.0, 0.0, 0.0], [0.0, 0.0, 2.0, 2.0], 0.0),
        ] {
            assert!((bounds(a).iou(bounds(b)) - expected).abs() < 1e-12, "{a:?} {b:?}");
        }
        assert_eq!(Bounds::of_centre([3.0, 5.0, 2.0, 4.0]), bounds([2.0, 3.0, 4.0, 7.0]));
    }
}
