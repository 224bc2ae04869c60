use maud::{Markup, html};

/// How a table cell shows a number: as a share of the largest of its column. Original above, candidate below.
pub(super) fn pair(original: f64, candidate: Option<f64>, largest: f64) -> Markup {
    let height = if candidate.is_some() { 10 } else { 5 };
    html! {
        svg.bar viewBox={ "0 0 100 " (height) } preserveAspectRatio="none" aria-hidden="true" {
            rect.original x="0" y="0" width=(width(original, largest)) height="4" {}
            @if let Some(candidate) = candidate {
                rect.candidate x="0" y="5" width=(width(candidate, largest)) height="4" {}
            }
        }
    }
}

/// One bar for each number, side by side.
pub(super) fn histogram(counts: &[u64], name: impl Fn(usize) -> String) -> Markup {
    let largest = counts.iter().copied().max().unwrap_or(0).max(1) as f64;
    let step = 100.0 / counts.len().max(1) as f64;
    html! {
        svg.histogram viewBox="0 0 100 30" preserveAspectRatio="none" role="img" {
            @for (i, count) in counts.iter().enumerate() {
                @let height = 30.0 * *count as f64 / largest;
                rect.candidate x=(format!("{:.2}", i as f64 * step)) y=(format!("{:.2}", 30.0 - height))
                    width=(format!("{:.2}", step * 0.85)) height=(format!("{height:.2}")) {
                    title { (name(i)) ": " (count) }
                }
            }
        }
    }
}

fn width(value: f64, largest: f64) -> String {
    let share = if largest > 0.0 { (value / largest).clamp(0.0, 1.0) } else { 0.0 };
    format!("{:.2}", 100.0 * share)
}
