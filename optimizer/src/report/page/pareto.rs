use drydock_contract::Measurements;
use maud::{Markup, html};

use super::axis::Axis;
use super::{Gates, Page};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 340.0;
const LEFT: f64 = 60.0;
const BOTTOM: f64 = 46.0;
/// Of the original's disc.
const RADIUS: f64 = 14.0;

/// One model in the plot.
#[derive(Clone, Debug, PartialEq)]
struct Point {
    name: String,
    kind: &'static str,
    speedup: f64,
    quality: f64,
    /// 95 % interval.
    interval: Option<(f64, f64)>,
    /// Of the original's bytes.
    size: f64,
}

/// Speed and quality of this candidate, the original and the others; `None` where one of them was not measured.
pub(super) fn plot(page: &Page<'_>) -> Option<Markup> {
    let record = &page.package.manifest.record;
    let own = point(&record.candidate, "candidate", &record.measurements)?;
    let (unit, best) = match record.measurements.quality() {
        Some(q) => (format!("{}, %", q.metric), q.original),
        None if page.package.manifest.content.detection.is_some() => {
            ("mAP against the original's boxes, %".to_owned(), 100.0)
        }
        None => ("same answer as the original, %".to_owned(), 100.0),
    };
    let original =
        Point { name: "original".into(), kind: "original", speedup: 1.0, quality: best, interval: None, size: 1.0 };
    let others = page.others.iter().filter_map(|other| {
        let record = &other.manifest.record;
        point(&record.candidate, "other", &record.measurements)
    });
    let is_original = record.is_original();
    let points: Vec<Point> = others.chain([original]).chain((!is_original).then_some(own)).collect();
    Some(draw(&points, page.gates, &unit, best))
}

fn point(name: &str, kind: &'static str, measured: &Measurements) -> Option<Point> {
    let (latency, size) = (measured.latency.as_ref()?, measured.size.as_ref()?);
    let (quality, interval) = match (measured.quality(), &measured.fidelity) {
        (Some(q), _) => (q.value, q.change.map(|c| (q.original + c.low, q.original + c.high))),
        (None, Some(f)) => (f.agreement, None),
        (None, None) => return None,
    };
    let size = size.bytes as f64 / size.original_bytes.max(1) as f64;
    Some(Point { name: name.to_owned(), kind, speedup: latency.speedup(), quality, interval, size })
}

/// The points that no other is both faster and better than, from the slowest on.
fn front(points: &[Point]) -> Vec<&Point> {
    let beats = |a: &Point, b: &Point| {
        a.speedup >= b.speedup && a.quality >= b.quality && (a.speedup > b.speedup || a.quality > b.quality)
    };
    let mut front: Vec<&Point> = points.iter().filter(|p| !points.iter().any(|other| beats(other, p))).collect();
    front.sort_by(|a, b| a.speedup.total_cmp(&b.speedup));
    front
}

fn draw(points: &[Point], gates: &Gates, unit: &str, best: f64) -> Markup {
    let floor = gates.max_accuracy_drop.map(|drop| best - drop);
    let speeds = points.iter().map(|p| p.speedup).chain(gates.min_speedup);
    let ends = |p: &Point| [p.quality, p.interval.map_or(p.quality, |i| i.0), p.interval.map_or(p.quality, |i| i.1)];
    let qualities = points.iter().flat_map(ends).chain(floor);
    let (right, bottom) = (WIDTH - 20.0, HEIGHT - BOTTOM);
    let (Some(x), Some(y)) = (Axis::over(speeds, LEFT, right), Axis::over(qualities, bottom, 16.0)) else {
        return html! {};
    };
    let ((x_ticks, x_decimals), (y_ticks, y_decimals)) = (x.ticks(), y.ticks());
    let front: Vec<String> =
        front(points).iter().map(|p| format!("{:.1},{:.1}", x.at(p.speedup), y.at(p.quality))).collect();
    html! {
        svg.plot viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label="Speed and quality" {
            @for tick in x_ticks {
                line.grid x1=(n(x.at(tick))) x2=(n(x.at(tick))) y1="16" y2=(n(bottom)) {}
                text x=(n(x.at(tick))) y=(n(bottom + 16.0)) text-anchor="middle" { (format!("{tick:.x_decimals$}")) }
            }
            @for tick in y_ticks {
                line.grid x1=(n(LEFT)) x2=(n(right)) y1=(n(y.at(tick))) y2=(n(y.at(tick))) {}
                text x=(n(LEFT - 8.0)) y=(n(y.at(tick) + 4.0)) text-anchor="end" { (format!("{tick:.y_decimals$}")) }
            }
            text x=(n(f64::midpoint(LEFT, right))) y=(n(HEIGHT - 8.0)) text-anchor="middle" { "times as fast as the original" }
            text x="14" y=(n(bottom / 2.0)) text-anchor="middle" transform={ "rotate(-90 14 " (n(bottom / 2.0)) ")" } { (unit) }
            @if let Some(floor) = floor {
                line.gate x1=(n(LEFT)) x2=(n(right)) y1=(n(y.at(floor))) y2=(n(y.at(floor))) {}
                text.gate x=(n(right)) y=(n(y.at(floor) - 5.0)) text-anchor="end" { "gate: " (format!("{floor:.2}")) }
            }
            @if let Some(speedup) = gates.min_speedup {
                line.gate x1=(n(x.at(speedup))) x2=(n(x.at(speedup))) y1="16" y2=(n(bottom)) {}
                text.gate x=(n(x.at(speedup) + 5.0)) y="26" { "gate: " (speedup) }
            }
            polyline.front points=(front.join(" ")) {}
            @for point in points {
                (mark(point, x.at(point.speedup), y.at(point.quality), point.interval.map(|(l, h)| (y.at(l), y.at(h)))))
            }
        }
        @if let Some(ratio) = gates.max_size_ratio {
            p.quiet { "Gate on the size: at most " (format!("{:.1} %", 100.0 * ratio)) " of the original's." }
        }
    }
}

fn mark(point: &Point, x: f64, y: f64, interval: Option<(f64, f64)>) -> Markup {
    let radius = (RADIUS * point.size.clamp(0.0, 4.0).sqrt()).max(3.0);
    // On the right half there is more room on the left.
    let (at, anchor) = if x > WIDTH * 0.6 { (x - radius - 6.0, "end") } else { (x + radius + 6.0, "start") };
    html! {
        g class=(point.kind) {
            title {
                (point.name) ": " (format!("{:.2} times as fast, {:.2} %, {:.1} % of the size", point.speedup, point.quality, 100.0 * point.size))
            }
            @if let Some((low, high)) = interval {
                line.interval x1=(n(x)) x2=(n(x)) y1=(n(low)) y2=(n(high)) {}
            }
            circle cx=(n(x)) cy=(n(y)) r=(n(radius)) {}
            text x=(n(at)) y=(n(y + 4.0)) text-anchor=(anchor) { (point.name) }
        }
    }
}

fn n(value: f64) -> String {
    format!("{value:.1}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beaten_is_not_on_the_front() {
        let point = |name: &str, speedup, quality| Point {
            name: name.into(),
            kind: "other",
            speedup,
            quality,
            interval: None,
            size: 1.0,
        };
        let points = [point("c", 4.0, 90.0), point("a", 1.0, 92.0), point("b", 3.0, 89.0), point("d", 4.0, 90.0)];
        let names: Vec<&str> = front(&points).iter().map(|p| p.name.as_str()).collect();
        assert_eq!(names, ["a", "c", "d"]);
    }
}
