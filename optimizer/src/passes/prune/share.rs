use std::collections::BTreeMap;

use super::eliminate::Elimination;
use super::groups::Groups;
use crate::onnx::{Graph, Shapes};

/// Multiply-accumulates of one node as a product: a constant, times the length of each axis of its weights, which is what
/// is fixed and what is left of families.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Product {
    constant: u64,
    /// For each axis: channels of no family, and the families with their channels for each unit.
    axes: Vec<(u64, Vec<(usize, u64)>)>,
}

impl Product {
    /// `units` left of each family.
    pub fn macs(&self, units: &[usize]) -> u64 {
        let length = |(fixed, families): &(u64, Vec<(usize, u64)>)| {
            fixed + families.iter().map(|(family, each)| units[*family] as u64 * each).sum::<u64>()
        };
        self.constant * self.axes.iter().map(length).product::<u64>()
    }
}

/// One product for each node that multiplies by constant weights.
pub fn products(graph: &Graph, shapes: &Shapes, groups: &Groups) -> Vec<Product> {
    // Channels of a family in an axis.
    let mut members: BTreeMap<(&str, usize), BTreeMap<usize, u64>> = BTreeMap::new();
    for (i, family) in groups.families.iter().enumerate() {
        for slice in family.units.iter().flatten() {
            *members.entry((slice.tensor.as_str(), slice.axis)).or_default().entry(i).or_default() += 1;
        }
    }
    let index = graph.index();
    let weighted = graph.nodes().iter().filter(|n| n.is("Conv") || n.is("Gemm") || n.is("MatMul"));
    let product = |node: &crate::proto::NodeProto| {
        let weight = index.initializer(graph, node.input_at(1)?)?;
        let output = shapes.sizes(node.output.first()?)?;
        let positions: i64 = if node.is("Conv") {
            output.get(2..)?.iter().product()
        } else {
            output.get(..output.len().checked_sub(1)?)?.iter().product()
        };
        let axes = weight.dims.iter().enumerate().map(|(axis, length)| {
            let families = members.get(&(weight.name.as_str(), axis));
            let of = |(family, channels): (&usize, &u64)| {
                (*family, channels / groups.families[*family].units.len().max(1) as u64)
            };
            let families: Vec<(usize, u64)> = families.into_iter().flatten().map(of).collect();
            let free: u64 = families.iter().map(|(f, each)| each * groups.families[*f].units.len() as u64).sum();
            ((*length as u64).saturating_sub(free), families)
        });
        Some(Product { constant: positions.max(0) as u64, axes: axes.collect() })
    };
    weighted.filter_map(product).collect()
}

/// How many units to take out of each family: where it costs the least loss for the multiply-accumulates, until at most
/// `budget` are left or every family is down to its last step. Equal inputs give equal numbers.
pub fn share(families: &[Elimination], products: &[Product], budget: u64) -> Vec<usize> {
    let mut removed = vec![0; families.len()];
    let macs = |removed: &[usize]| {
        let left: Vec<usize> = families.iter().zip(removed).map(|(f, r)| f.units() - r).collect();
        products.iter().map(|p| p.macs(&left)).sum::<u64>()
    };
    let with = |removed: &[usize], family: usize, count: usize| {
        let mut removed = removed.to_vec();
        removed[family] = count;
        macs(&removed)
    };
    let mut now = macs(&removed);
    while now > budget {
        let mut best: Option<(f64, usize, usize)> = None;
        for (i, family) in families.iter().enumerate() {
            for count in family.steps().filter(|c| *c > removed[i]) {
                let saved = now.saturating_sub(with(&removed, i, count));
                let price = (family.loss(count) - family.loss(removed[i])) / saved as f64;
                if saved > 0 && best.is_none_or(|(least, ..)| price < least) {
                    best = Some((price, i, count));
                }
            }
        }
        let Some((_, i, count)) = best else { break };
        removed[i] = count;
        now = macs(&removed);
    }
    // What the last step took too much goes back where it helps most.
    loop {
        let mut best: Option<(f64, usize, usize)> = None;
        for (i, family) in families.iter().enumerate().filter(|(i, _)| removed[*i] > 0) {
            let count = family.steps().filter(|c| *c < removed[i]).max().unwrap_or(0);
            let cost = with(&removed, i, count).saturating_sub(now);
            let gain = (family.loss(removed[i]) - family.loss(count)) / cost.max(1) as f64;
            if now + cost <= budget && best.is_none_or(|(most, ..)| gain > most) {
                best = Some((gain, i, count));
            }
        }
        let Some((_, i, count)) = best else { break };
        removed[i] = count;
        now = macs(&removed);
    }
    removed
}
