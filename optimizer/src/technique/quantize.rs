use drydock_contract::Quantize;

use crate::Error;
use crate::calibrate::calibrate;
use crate::dataset::Dataset;
use crate::engine::Engine;
use crate::onnx::Graph;
use crate::passes;
use crate::progress::Progress;

/// Static int8: clean-up, ranges from calibration data, then the rewrite.
pub fn quantize(
    engine: &Engine,
    graph: Graph,
    options: &Quantize,
    calibration: &Dataset,
    progress: &mut Progress,
) -> Result<Graph, Error> {
    let (graph, lifted) = passes::lift_constants(graph);
    let (graph, folded) = passes::fold_batch_norm(graph)?;
    let selection = passes::select(&graph)?;
    if selection.is_empty() {
        return Err(Error::Recipe(
            "nothing to quantize; expected a Conv, Gemm or MatMul with constant float32 weights".into(),
        ));
    }
    let ranges = calibrate(engine, &graph, &selection, calibration, options, progress)?;
    let (graph, report) = passes::quantize(graph, &selection, &ranges, options)?;
    progress.note(&format!(
        "quantize: {} (absorbed {} Relu or Clip, folded {} BatchNormalization, lifted {} constants); in float: {}",
        counts(&report.quantized),
        report.absorbed,
        folded.folded,
        lifted.constants,
        counts(&report.left_in_float),
    ));
    Ok(graph)
}

fn counts(nodes: &std::collections::BTreeMap<String, usize>) -> String {
    let each: Vec<String> = nodes.iter().map(|(op, n)| format!("{n} {op}")).collect();
    if each.is_empty() { "nothing".into() } else { each.join(", ") }
}
