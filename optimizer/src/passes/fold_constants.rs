use std::collections::HashSet;

use super::names::Names;
use crate::engine::Engine;
use crate::onnx::{Dim, Graph, Index, ModelError, Shapes, attribute_int, element_count, integer_tensor, tensor};
use crate::proto::tensor_proto::DataType;
use crate::proto::{NodeProto, TensorProto};

/// A value this small is always worth having: in elements.
const SMALL: i64 = 1 << 16;

/// What [`fold_constants`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConstantsReport {
    /// Values that are initializers now: shapes that are the same in every run.
    pub shapes: usize,
    /// The same: what is made of initializers alone.
    pub computed: usize,
    /// Why the last were left as they are, if ONNX Runtime does not calculate them.
    pub refused: Option<String>,
}

/// Replaces what is the same in every run by its value: shapes that are known, and, by ONNX Runtime, what is made of
/// initializers alone.
///
/// Left are dequantized weights, which would grow; random numbers; nodes with subgraphs; results larger than both 64 Ki
/// elements and what they are made of; outputs of the graph.
///
/// # Errors
/// [`ModelError::Shape`], and tensors whose data does not fit their shape.
pub fn fold_constants(graph: Graph, engine: &Engine) -> Result<(Graph, ConstantsReport), ModelError> {
    // Of an `If` on a constant ONNX Runtime takes the branch when it loads, and holds it to rules that a run does not.
    let before = graph.nodes().iter().any(NodeProto::has_subgraph).then(|| graph.clone());
    let (graph, report) = fold(graph, engine)?;
    if let Some(before) = before.filter(|_| report.shapes + report.computed > 0)
        && let Err(e) = engine.open(&graph.encode(), 1)
    {
        return Ok((before, ConstantsReport { refused: Some(e.to_string()), ..ConstantsReport::default() }));
    }
    Ok((graph, report))
}

fn fold(mut graph: Graph, engine: &Engine) -> Result<(Graph, ConstantsReport), ModelError> {
    let mut report = ConstantsReport::default();
    let shapes = Shapes::infer(&graph)?;
    let index = graph.index();
    let known: Vec<TensorProto> = graph.nodes().iter().filter_map(|n| known_list(n, &shapes, &index)).collect();
    report.shapes = known.len() + open_targets(&mut graph, &shapes, &index);
    replace(&mut graph, known);

    let index = graph.index();
    let foldable = constant_nodes(&graph, &shapes, &index)?;
    let chosen: HashSet<usize> = foldable.iter().copied().collect();
    let read_on = |value: &str| index.is_captured(value) || index.consumers(value).iter().any(|c| !chosen.contains(c));
    let made = foldable.iter().flat_map(|i| &graph.nodes()[*i].output);
    let wanted: Vec<&str> = made.filter(|v| read_on(v)).map(String::as_str).collect();
    if wanted.is_empty() {
        return Ok((graph, report));
    }
    let nodes = foldable.iter().map(|i| graph.nodes()[*i].clone()).collect();
    match engine
        .open(&graph.encode_part(nodes, Vec::new(), &wanted), 1)
        .and_then(|mut session| session.run_tensors(&[]))
    {
        Ok(found) => {
            let found: Vec<TensorProto> = found.into_iter().flatten().collect();
            report.computed = found.len();
            replace(&mut graph, found);
        }
        Err(e) => report.refused = Some(e.to_string()),
    }
    Ok((graph, report))
}

/// An integer list or scalar that inference knows, and that some node still calculates.
fn known_list(node: &NodeProto, shapes: &Shapes, index: &Index) -> Option<TensorProto> {
    let [output] = node.output.as_slice() else { return None };
    if index.is_output(output) || !index.is_read(output) {
        return None;
    }
    let value = shapes.get(output)?;
    let (values, dims) = (value.integers()?, value.sizes()?);
    match value.element {
        Some(DataType::Int64) => Some(integer_tensor(output, &dims, &values)),
        Some(DataType::Int32) => {
            let narrow =
                values.iter().map(|v| i32::try_from(*v).ok().map(i32::to_le_bytes)).collect::<Option<Vec<_>>>()?;
            Some(tensor(output, DataType::Int32, &dims, narrow.concat()))
        }
        _ => None,
    }
}

/// Gives each `Reshape` whose target is calculated from the batch a constant one, which copies the batch or leaves it open.
/// How many there were.
fn open_targets(graph: &mut Graph, shapes: &Shapes, index: &Index) -> usize {
    let mut names = Names::new(index);
    let mut made = Vec::new();
    for node in &mut graph.body.node {
        let calculated = node.input_at(1).filter(|t| index.producer(t).is_some());
        let Some(target) = calculated.filter(|_| node.is("Reshape") && attribute_int(node, "allowzero", 0) == 0) else {
            continue;
        };
        let x = node.input_at(0).and_then(|x| shapes.get(x)?.shape.as_deref());
        if let Some(constant) = shapes.get(target).and_then(|t| open_target(t.contents()?, x.unwrap_or(&[]))) {
            let name = names.make(target, ".constant");
            made.push(integer_tensor(&name, &[constant.len() as i64], &constant));
            node.input[1] = name;
        }
    }
    let count = made.len();
    graph.body.initializer.extend(made);
    count
}

/// `None` where a constant cannot say it, or nothing is open.
fn open_target(target: &[Dim], x: &[Dim]) -> Option<Vec<i64>> {
    let copies = |i: usize, dim: &Dim| matches!(dim, Dim::Symbol(_)) && x.get(i) == Some(dim);
    let numbers = target.iter().enumerate().map(|(i, dim)| if copies(i, dim) { 0 } else { dim.size().unwrap_or(-1) });
    let numbers: Vec<i64> = numbers.collect();
    let open = numbers.iter().filter(|n| **n == -1).count();
    (open <= 1 && target.iter().any(|d| d.size().is_none())).then_some(numbers)
}

/// Positions of the nodes that read initializers and each other alone, in topological order.
fn constant_nodes(graph: &Graph, shapes: &Shapes, index: &Index) -> Result<Vec<usize>, ModelError> {
    let mut constant: HashSet<&str> = HashSet::new();
    let mut found = Vec::new();
    for (i, node) in graph.nodes().iter().enumerate() {
        let reads = |name: &String| constant.contains(name.as_str()) || index.initializer(graph, name).is_some();
        let inputs: Vec<&String> = node.input.iter().filter(|n| !n.is_empty()).collect();
        let is_output = node.output.iter().any(|o| index.is_output(o));
        if inputs.is_empty() || !inputs.iter().all(|n| reads(n)) || !repeatable(node) || is_output {
            continue;
        }
        let size = |name: &str| shapes.sizes(name)?.iter().try_fold(1_i64, |n, d| n.checked_mul(*d));
        let mut limit = SMALL;
        for name in &inputs {
            let elements = match index.initializer(graph, name) {
                Some(t) => Some(element_count(t)? as i64),
                None => size(name),
            };
            limit = limit.max(elements.unwrap_or(0));
        }
        if node.output.iter().filter(|o| !o.is_empty()).all(|o| size(o).is_some_and(|n| n <= limit)) {
            constant.extend(node.output.iter().map(String::as_str));
            found.push(i);
        }
    }
    Ok(found)
}

fn repeatable(node: &NodeProto) -> bool {
    const NOT: [&str; 8] = [
        "DequantizeLinear",
        "Dropout",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
        "Multinomial",
        "Bernoulli",
    ];
    node.is(&node.op_type) && !node.has_subgraph() && !NOT.contains(&node.op_type.as_str())
}

/// Puts initializers in the place of the nodes that made them.
fn replace(graph: &mut Graph, tensors: Vec<TensorProto>) {
    let made: HashSet<String> = tensors.iter().map(|t| t.name.clone()).collect();
    for node in &mut graph.body.node {
        for output in node.output.iter_mut().filter(|o| made.contains(*o)) {
            output.clear();
        }
    }
    graph.body.node.retain(|n| n.output.iter().any(|o| !o.is_empty()));
    graph.body.initializer.extend(tensors);
    super::drop_dead(graph);
}
