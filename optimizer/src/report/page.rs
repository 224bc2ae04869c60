mod axis;
mod bars;
mod changes;
mod confusion;
mod layers;
mod origin;
mod pareto;

use drydock_contract::Measurements;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{Package, rows};

const STYLE: &str = include_str!("page/style.css");

/// Everything that a report is drawn from.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    pub package: &'a Package,
    /// To compare with.
    pub others: &'a [Package],
    pub gates: &'a Gates,
}

/// Limits to draw, where they are known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gates {
    /// Points of top-1, or of mAP.
    pub max_accuracy_drop: Option<f64>,
    pub min_speedup: Option<f64>,
    pub max_size_ratio: Option<f64>,
}

/// One HTML file that loads nothing and runs nothing. Text is escaped, whatever it is.
pub fn render(page: &Page<'_>) -> String {
    let manifest = &page.package.manifest;
    let record = &manifest.record;
    let is_original = record.is_original();
    let title = format!("{}, package {}", record.candidate, manifest.digest.short());
    let body = html! {
        header {
            h1 { (record.candidate) }
            p.lead { (summary(&record.measurements, is_original, manifest.content.detection.is_some())) }
            p.quiet { "package " code { (manifest.digest) } }
        }
        (section("Numbers", "Candidate beside original, on the same data and in the same process.", &numbers(page)))
        @if let Some(plot) = pareto::plot(page) {
            (section("Trade-off", "Up is better, and so is right. The larger the disc, the larger the file.", &plot))
        }
        @if let Some(layers) = &page.package.study.layers {
            (section("Layers", &layers::lead(layers, is_original), &layers::table(layers, is_original)))
        }
        @if let Some(confusion) = &page.package.confusion {
            (section("Confusion", "Rows are labels, columns answers; each row adds up to all images of its label.",
                &confusion::maps(confusion, &manifest.content.labels, is_original)))
        }
        @if !page.package.study.changed.is_empty() {
            (section("Changed answers", &changes::lead(&page.package.study),
                &changes::gallery(&page.package.study, &manifest.content.labels)))
        }
        @if let Some(baseline) = &record.baseline {
            (section("Baseline", "What went in and came out on the evaluation data, to tell later whether it still does.",
                &origin::baseline(baseline, &manifest.content.labels)))
        }
        @if let Some(recipe) = &record.recipe {
            (section("Recipe", "With every default.", &origin::recipe(recipe, &record.notes)))
        }
        (section("Origin", "Where it was made, of what and with what.", &origin::origin(manifest)))
    };
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { (body) }
        }
    }
    .into_string()
        + "\n"
}

fn section(title: &str, lead: &str, content: &Markup) -> Markup {
    html! {
        section {
            h2 { (title) }
            @if !lead.is_empty() { p.quiet { (lead) } }
            (content)
        }
    }
}

/// What it is, in a line.
fn summary(measured: &Measurements, is_original: bool, is_detector: bool) -> String {
    if is_original {
        return "The model as it came.".to_owned();
    }
    let mut parts: Vec<String> = Vec::new();
    if let Some(l) = &measured.latency {
        parts.push(format!("{:.2} times as fast as the original", l.speedup()));
    }
    if let Some(s) = &measured.size {
        parts.push(format!("{:.1} % of its size", 100.0 * s.bytes as f64 / s.original_bytes.max(1) as f64));
    }
    if let Some(q) = measured.quality() {
        let change = format!("{:+.2} points of {}", q.value - q.original, q.metric);
        let interval = q.change.map(|c| format!(" (95 % sure: {:+.2} to {:+.2})", c.low, c.high));
        parts.push(change + &interval.unwrap_or_default());
    } else if let Some(f) = &measured.fidelity {
        parts.push(if is_detector {
            format!("{:.2} % of mAP against the original's boxes", f.agreement)
        } else {
            format!("{:.2} % of the answers are the same", f.agreement)
        });
    }
    if parts.is_empty() { "Nothing was measured.".to_owned() } else { parts.join(", ") + "." }
}

fn numbers(page: &Page<'_>) -> Markup {
    let record = &page.package.manifest.record;
    let rows = rows(&record.measurements, record.graphs.as_ref());
    let same_data = record.measurements.accuracy.as_ref().is_some_and(|a| a.same_data)
        || record.measurements.detection.as_ref().is_some_and(|d| d.same_data);
    html! {
        table.numbers {
            thead { tr { th {} th { "original" } th { (record.candidate) } th {} } }
            tbody {
                @for [what, original, candidate, note] in &rows {
                    tr { th { (what) } td.n { (original) } td.n { (candidate) } td.quiet { (note) } }
                }
            }
        }
        @if same_data {
            p.warn { "Calibration and evaluation were one file: the accuracy is that on images already seen." }
        }
    }
}

/// The name of a class, or its number.
fn class(labels: &[String], class: usize) -> String {
    labels.get(class).filter(|l| !l.is_empty()).cloned().unwrap_or_else(|| class.to_string())
}

#[cfg(test)]
mod tests;
