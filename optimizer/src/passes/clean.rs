use std::collections::BTreeMap;
use std::fmt;

use super::drop_notes::drop_notes;
use super::{drop_dead, fold_batch_norm, fold_constants, lift_constants, remove_noops, upgrade};
use crate::engine::Engine;
use crate::onnx::{Graph, ModelError};

/// What [`clean`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CleanReport {
    /// The opset that the graph came in.
    pub from_opset: i64,
    pub batch_norms: usize,
    pub scales: usize,
    /// `Constant` nodes, known shapes and values made of initializers alone that are initializers now.
    pub constants: usize,
    /// Nodes that did nothing, by operator.
    pub removed: BTreeMap<String, usize>,
    pub dead: usize,
    /// Why constants were left, where ONNX Runtime does not calculate them.
    pub refused: Option<String>,
}

impl fmt::Display for CleanReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from_opset, batch_norms, scales, constants, removed, dead, .. } = self;
        let removed: usize = removed.values().sum();
        write!(
            f,
            "from opset {from_opset}; folded {batch_norms} BatchNormalization, {scales} scales and {constants} constants; \
             removed {removed} nodes that did nothing and {dead} that nothing read"
        )
    }
}

/// What every recipe begins with: opset 13 or later, constants as initializers, no node that another can do the work
/// of, or that does none, and no notes of an exporter.
///
/// Inputs and outputs keep their names, shapes and, but for float32's rounding, values.
///
/// # Errors
/// Those of the passes that it is made of.
pub fn clean(graph: Graph, engine: &Engine) -> Result<(Graph, CleanReport), ModelError> {
    let (mut graph, upgraded) = upgrade(graph)?;
    let mut report = CleanReport { from_opset: upgraded.from, ..CleanReport::default() };
    report.dead += drop_dead(&mut graph);
    drop_notes(&mut graph);
    // One pass's result is the next one's chance, and each round that goes on leaves fewer nodes.
    loop {
        let before = graph.nodes().len();
        let lifted;
        (graph, lifted) = lift_constants(graph);
        let computed;
        (graph, computed) = fold_constants(graph, engine)?;
        let noops;
        (graph, noops) = remove_noops(graph)?;
        let folded;
        (graph, folded) = fold_batch_norm(graph)?;
        report.dead += drop_dead(&mut graph);
        report.constants += lifted.constants + computed.shapes + computed.computed;
        for (operator, count) in noops.removed {
            *report.removed.entry(operator).or_default() += count;
        }
        report.batch_norms += folded.folded;
        report.scales += folded.scales;
        report.refused = computed.refused;
        if graph.nodes().len() >= before {
            return Ok((graph, report));
        }
    }
}
