use super::names::Names;
use crate::onnx::{Graph, Index, ModelError, attribute_float, attribute_int, float_tensor, floats, is_float};
use crate::proto::{NodeProto, TensorProto};

/// What [`fold_batch_norm`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoldReport {
    pub folded: usize,
    /// `BatchNormalization` nodes that stay: not after a convolution of its own, or not constant.
    pub left: usize,
}

/// Multiplies each `BatchNormalization` into the `Conv` before it: w' = w·g/√(v+ε), b' = (b-μ)·g/√(v+ε) + β.
///
/// # Errors
/// A tensor whose data does not fit its shape.
pub fn fold_batch_norm(mut graph: Graph) -> Result<(Graph, FoldReport), ModelError> {
    let index = graph.index();
    let mut names = Names::new(&index);
    let mut report = FoldReport::default();
    for position in 0..graph.body.node.len() {
        if !graph.body.node[position].is("BatchNormalization") {
            continue;
        }
        let Some((conv, folded)) = fold(&graph, &index, position)? else {
            report.left += 1;
            continue;
        };
        let weight = names.make(&graph.body.node[conv].input[1], ".folded");
        let bias = names.make(&weight, ".bias");
        let result = std::mem::take(&mut graph.body.node[position].output[0]);
        // An empty node now: taken out below.
        graph.body.node[position] = NodeProto::default();
        let node = &mut graph.body.node[conv];
        node.input.truncate(1);
        node.input.extend([weight.clone(), bias.clone()]);
        node.output[0] = result;
        graph.body.initializer.push(float_tensor(&weight, &folded.dims, &folded.weight));
        graph.body.initializer.push(float_tensor(&bias, &[folded.bias.len() as i64], &folded.bias));
        report.folded += 1;
    }
    graph.body.node.retain(|n| !n.op_type.is_empty());
    graph.prune();
    Ok((graph, report))
}

struct Folded {
    dims: Vec<i64>,
    weight: Vec<f32>,
    bias: Vec<f32>,
}

fn fold(graph: &Graph, index: &Index, position: usize) -> Result<Option<(usize, Folded)>, ModelError> {
    let norm = &graph.body.node[position];
    // Further outputs are running statistics: training.
    let extra_outputs = norm.output.iter().skip(1).any(|o| !o.is_empty());
    if attribute_int(norm, "training_mode", 0) != 0 || extra_outputs || norm.output.is_empty() {
        return Ok(None);
    }
    let Some(conv_at) = norm.input_at(0).and_then(|x| {
        let producer = index.producer(x).filter(|p| graph.body.node[*p].is("Conv"))?;
        (index.sole_consumer(x) == Some(position)).then_some(producer)
    }) else {
        return Ok(None);
    };
    let conv = &graph.body.node[conv_at];
    let constant = |node: &NodeProto, i: usize| -> Option<TensorProto> {
        index.initializer(graph, node.input_at(i)?).filter(|t| is_float(t)).cloned()
    };
    let Some(weight) = constant(conv, 1).filter(|w| w.dims.len() >= 3 && conv.output.len() == 1) else {
        return Ok(None);
    };
    let mut statistics = Vec::with_capacity(4);
    for i in 1..=4 {
        match constant(norm, i) {
            Some(t) => statistics.push(floats(&t)?),
            None => return Ok(None),
        }
    }
    let values = floats(&weight)?;
    let channels = weight.dims[0] as usize;
    let bias = match (conv.input_at(2), constant(conv, 2)) {
        (None, _) => vec![0.0; channels],
        (Some(_), Some(t)) => floats(&t)?,
        (Some(_), None) => return Ok(None),
    };
    let [gain, shift, mean, variance] = statistics.as_slice() else { return Ok(None) };
    if channels == 0 || bias.len() != channels || statistics.iter().any(|s| s.len() != channels) {
        return Ok(None);
    }
    let epsilon = f64::from(attribute_float(norm, "epsilon", 1e-5));
    let factors: Vec<f64> =
        gain.iter().zip(variance).map(|(g, v)| f64::from(*g) / (f64::from(*v) + epsilon).sqrt()).collect();
    let inner = values.len() / channels;
    let weight_out = values.iter().enumerate().map(|(i, w)| (f64::from(*w) * factors[i / inner]) as f32).collect();
    let bias_out = (0..channels)
        .map(|c| ((f64::from(bias[c]) - f64::from(mean[c])) * factors[c] + f64::from(shift[c])) as f32)
        .collect();
    Ok(Some((conv_at, Folded { dims: weight.dims, weight: weight_out, bias: bias_out })))
}
