use maud::{Markup, html};

use super::bars::pair;
use crate::report::{Cost, LayerRow, LayerStudy};

/// More rows than anybody reads: the rest is left out, the cheapest layers first.
const ROWS: usize = 200;

pub(super) fn lead(study: &LayerStudy, is_original: bool) -> String {
    if is_original {
        return "Multiply-accumulates and bytes of each layer.".to_owned();
    }
    let noise = match study.images {
        0 => "outputs were not compared".to_owned(),
        n => format!(
            "SQNR is that of the layer's output, candidate against original, on {n} images, each channel scaled to fit best"
        ),
    };
    format!(
        "Above the original's, below the candidate's; {noise}. What a layer was split into or joined with is counted for it."
    )
}

pub(super) fn table(study: &LayerStudy, is_original: bool) -> Markup {
    let most = |of: fn(&Cost) -> u64| {
        study.layers.iter().flat_map(|l| [of(&l.original), of(&l.candidate)]).max().unwrap_or(0) as f64
    };
    let (macs, bytes) = (most(|c| c.macs), most(|c| c.bytes));
    let decibels = study.layers.iter().filter_map(|l| l.sqnr_decibels).fold(0.0, f64::max).clamp(1.0, 60.0);
    let shown = shown(&study.layers);
    let left_out = study.layers.len() - shown.len();
    let rest = study.rest_original != Cost::default() || study.rest_candidate != Cost::default();
    html! {
        table.layers {
            thead {
                tr { th { "layer" } th { "multiply-accumulates" } th { "bytes" } @if !is_original { th { "SQNR" } } }
            }
            tbody {
                @for layer in shown {
                    tr {
                        th { (layer.name) " " span.quiet { (layer.operator) } }
                        (cost(layer.original.macs, layer.candidate.macs, macs, is_original))
                        (cost(layer.original.bytes, layer.candidate.bytes, bytes, is_original))
                        @if !is_original { (noise(layer.sqnr_decibels, decibels)) }
                    }
                }
                @if rest {
                    tr {
                        th.quiet { "elsewhere" }
                        (cost(study.rest_original.macs, study.rest_candidate.macs, macs, is_original))
                        (cost(study.rest_original.bytes, study.rest_candidate.bytes, bytes, is_original))
                        @if !is_original { td {} }
                    }
                }
            }
        }
        @if left_out > 0 { p.quiet { (left_out) " layers with fewer multiply-accumulates are not shown." } }
    }
}

/// In the order of the graph.
fn shown(layers: &[LayerRow]) -> Vec<&LayerRow> {
    let mut by_macs: Vec<usize> = (0..layers.len()).collect();
    by_macs.sort_by_key(|i| (std::cmp::Reverse(layers[*i].original.macs), *i));
    by_macs.truncate(ROWS);
    by_macs.sort_unstable();
    by_macs.into_iter().map(|i| &layers[i]).collect()
}

fn cost(original: u64, candidate: u64, largest: f64, is_original: bool) -> Markup {
    let below = (!is_original).then_some(candidate as f64);
    html! {
        td.n {
            (pair(original as f64, below, largest))
            (short(original)) @if !is_original && candidate != original { " → " (short(candidate)) }
        }
    }
}

fn noise(decibels: Option<f64>, largest: f64) -> Markup {
    html! {
        td.n {
            @if let Some(decibels) = decibels {
                (pair(0.0, Some(decibels), largest))
                @if decibels >= 139.0 { "equal" } @else { (format!("{decibels:.1} dB")) }
            } @else { span.quiet { "–" } }
        }
    }
}

/// Three digits and a unit.
fn short(n: u64) -> String {
    let n = n as f64;
    let (value, unit) = match n {
        n if n >= 1e9 => (n / 1e9, " G"),
        n if n >= 1e6 => (n / 1e6, " M"),
        n if n >= 1e3 => (n / 1e3, " k"),
        n => return format!("{n:.0}"),
    };
    let decimals = if value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    format!("{value:.decimals$}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits() {
        for (n, expected) in [
            (0, "0"),
            (999, "999"),
            (1000, "1.00 k"),
            (12_345, "12.3 k"),
            (987_654_321, "988 M"),
            (2_500_000_000, "2.50 G"),
        ] {
            assert_eq!(short(n), expected);
        }
    }

    #[test]
    fn the_cheapest_are_left_out_and_the_order_stays() {
        let row = |macs| LayerRow {
            name: String::new(),
            operator: "Conv".into(),
            original: Cost { macs, bytes: 0 },
            candidate: Cost::default(),
            sqnr_decibels: None,
        };
        let rows: Vec<LayerRow> = (0..300).map(|i| row((i * 7) % 300)).collect();
        let macs: Vec<u64> = shown(&rows).iter().map(|r| r.original.macs).collect();
        assert_eq!(macs.len(), ROWS);
        assert!(macs.iter().all(|m| *m >= 100) && macs[..2] == [105, 112], "{macs:?}");
    }
}
