use drydock_contract::{Baseline, Distribution, PackageManifest, Recipe, Statistics};
use maud::{Markup, html};

use super::bars::histogram;
use super::class;

pub(super) fn recipe(recipe: &Recipe, notes: &[String]) -> Markup {
    // Plain data: what cannot be written is not worth a report's failure.
    let yaml = serde_yaml::to_string(recipe).unwrap_or_default();
    html! {
        pre { (yaml) }
        @if !notes.is_empty() {
            p { "What was done:" }
            ul { @for note in notes { li { (note) } } }
        }
    }
}

pub(super) fn baseline(baseline: &Baseline, labels: &[String]) -> Markup {
    html! {
        table {
            thead { tr { th { "input" } th { "mean" } th { "std" } th { "min" } th { "max" } } }
            tbody {
                @for (i, Statistics { mean, std, min, max }) in baseline.input.iter().enumerate() {
                    tr {
                        th { "channel " (i) }
                        @for value in [mean, std, min, max] { td.n { (format!("{value:.4}")) } }
                    }
                }
            }
        }
        @if let Some(output) = &baseline.output {
            div.side-by-side {
                figure {
                    (histogram(&output.predicted, |i| class(labels, i)))
                    figcaption { "images by predicted class, " (baseline.images) " in all" }
                }
                figure { (spread(&output.margin)) figcaption { "margin of the first over the second, 0 to 1" } }
                figure { (spread(&output.entropy)) figcaption { "entropy of the answer, 0 (sure) to 1" } }
            }
        }
    }
}

fn spread(distribution: &Distribution) -> Markup {
    let step = 1.0 / distribution.bins.len().max(1) as f64;
    histogram(&distribution.bins, |i| format!("{:.2} to {:.2}", i as f64 * step, (i + 1) as f64 * step))
}

pub(super) fn origin(manifest: &PackageManifest) -> Markup {
    let (record, content) = (&manifest.record, &manifest.content);
    let mut rows: Vec<(String, String)> = Vec::new();
    let mut row = |what: &str, value: String| rows.push((what.to_owned(), value));
    row("source", record.source.to_string());
    for (what, digest) in [("calibration", &record.calibration), ("evaluation", &record.evaluation)] {
        row(what, digest.as_ref().map_or_else(|| "none".into(), ToString::to_string));
    }
    row("model.onnx", format!("{}, {} bytes", content.model.sha256, content.model.size));
    for (role, tensors) in [("input", &content.inputs), ("output", &content.outputs)] {
        for tensor in tensors {
            row(role, format!("{}: {} {:?}", tensor.name, tensor.datatype, tensor.shape));
        }
    }
    row("pre-processing", serde_json::to_string(&content.preprocessing).unwrap_or_default());
    if let Some(machine) = record.measurements.latency.as_ref().and_then(|l| l.machine.as_ref()) {
        row("machine", format!("{} {}", machine.architecture, machine.processor));
        row("instruction sets", machine.instruction_sets.join(", "));
    }
    for (tool, version) in &record.tools {
        row(tool, version.clone());
    }
    html! {
        table.origin { tbody { @for (what, value) in rows { tr { th { (what) } td { code { (value) } } } } } }
        @if let Some(graphs) = &record.graphs {
            table {
                thead { tr { th { "operator" } th { "original" } th { (record.candidate) } } }
                tbody {
                    @let all: std::collections::BTreeSet<&String> =
                        graphs.original.operators.keys().chain(graphs.candidate.operators.keys()).collect();
                    @for operator in all {
                        tr {
                            th { (operator) }
                            @for graph in [&graphs.original, &graphs.candidate] {
                                td.n { (graph.operators.get(operator).map_or(0, |o| o.nodes)) }
                            }
                        }
                    }
                }
            }
        }
    }
}
