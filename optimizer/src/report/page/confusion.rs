use std::collections::BTreeMap;

use maud::{Markup, html};

use super::class;
use crate::evaluate::{Cell, Confusion};

/// More classes make no map that can be read.
const MAP_CLASSES: usize = 32;
/// More do not leave room for numbers.
const NUMBERED_CLASSES: usize = 12;
const PAIRS: usize = 10;
const CELL: usize = 24;

pub(super) fn maps(confusion: &Confusion, labels: &[String], is_original: bool) -> Markup {
    let pairs = pairs(confusion);
    html! {
        @if confusion.classes <= MAP_CLASSES {
            div.side-by-side {
                figure { (map(&confusion.original, confusion.classes, labels)) figcaption { "original" } }
                @if !is_original {
                    figure { (map(&confusion.candidate, confusion.classes, labels)) figcaption { "candidate" } }
                }
            }
        }
        @if !pairs.is_empty() && !is_original {
            table {
                thead { tr { th { "mistakes that changed most" } th { "original" } th { "candidate" } th {} } }
                tbody {
                    @for ((label, taken), original, candidate) in pairs {
                        tr {
                            td { (class(labels, label)) " taken for " (class(labels, taken)) }
                            td.n { (original) } td.n { (candidate) }
                            td.n { (format!("{:+}", candidate as i64 - original as i64)) }
                        }
                    }
                }
            }
        }
    }
}

/// Label and class that differ, with how often each model takes one for the other: those that changed most.
fn pairs(confusion: &Confusion) -> Vec<((usize, usize), u64, u64)> {
    let mut counts: BTreeMap<(usize, usize), (u64, u64)> = BTreeMap::new();
    let wrong = |c: &&Cell| c.class.is_some_and(|class| class != c.label);
    for cell in confusion.original.iter().filter(wrong) {
        counts.entry((cell.label, cell.class.unwrap_or_default())).or_default().0 = cell.images;
    }
    for cell in confusion.candidate.iter().filter(wrong) {
        counts.entry((cell.label, cell.class.unwrap_or_default())).or_default().1 = cell.images;
    }
    let mut pairs: Vec<_> = counts.into_iter().filter(|(_, (o, c))| o != c).map(|(p, (o, c))| (p, o, c)).collect();
    pairs.sort_by_key(|(_, o, c)| std::cmp::Reverse(o.abs_diff(*c)));
    pairs.truncate(PAIRS);
    pairs
}

fn map(cells: &[Cell], classes: usize, labels: &[String]) -> Markup {
    let mut images = vec![0_u64; classes];
    for cell in cells.iter().filter(|c| c.label < classes) {
        images[cell.label] += cell.images;
    }
    let longest = (0..classes).map(|c| class(labels, c).chars().count()).max().unwrap_or(0).min(16);
    let left = longest * 7 + 8;
    let side = classes * CELL;
    html! {
        svg.heat viewBox={ "0 0 " (left + side) " " (side + 18) } role="img" {
            @for label in 0..classes {
                @let name: String = class(labels, label).chars().take(16).collect();
                text x=(left - 6) y=(label * CELL + 16) text-anchor="end" { (name) }
                text x=(left + label * CELL + CELL / 2) y=(side + 14) text-anchor="middle" { (label) }
            }
            rect.frame x=(left) y="0" width=(side) height=(side) {}
            @for cell in cells {
                @if let Some(taken) = cell.class.filter(|c| *c < classes && cell.label < classes) {
                    @let share = cell.images as f64 / images[cell.label].max(1) as f64;
                    @let (x, y) = (left + taken * CELL, cell.label * CELL);
                    // The root makes the few mistakes seen beside the many right answers.
                    rect.right[taken == cell.label].wrong[taken != cell.label] x=(x) y=(y) width=(CELL - 1) height=(CELL - 1)
                        fill-opacity=(format!("{:.3}", share.sqrt())) {
                        title { (class(labels, cell.label)) " taken for " (class(labels, taken)) ": " (cell.images) }
                    }
                    @if classes <= NUMBERED_CLASSES {
                        text.count x=(x + CELL / 2) y=(y + 15) text-anchor="middle" { (cell.images) }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_by_how_much_they_changed() {
        let cell = |label, class, images| Cell { label, class, images };
        let confusion = Confusion {
            classes: 3,
            original: vec![cell(0, Some(0), 9), cell(0, Some(1), 5), cell(1, Some(2), 1), cell(2, None, 3)],
            candidate: vec![cell(0, Some(0), 1), cell(0, Some(1), 4), cell(1, Some(2), 1), cell(2, Some(0), 6)],
        };
        assert_eq!(pairs(&confusion), [((2, 0), 0, 6), ((0, 1), 5, 4)]);
    }
}
