use std::collections::{BTreeMap, HashMap, HashSet};

use crate::onnx::{
    Graph, Index, ModelError, Shapes, attribute_float, attribute_int, attribute_ints, floats, integers,
    integers_attribute, is_float,
};
use crate::proto::{NodeProto, TensorProto};

/// What [`remove_noops`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoopReport {
    /// Nodes that were taken out, by operator.
    pub removed: BTreeMap<String, usize>,
    /// `Transpose` nodes that now do the work of the one before them too.
    pub merged: usize,
}

/// Takes out nodes whose first output always equals their first input, and joins one `Transpose` with the next.
///
/// Values are equal bit for bit, but for the sign of a zero that a zero is added to. A node stays where both ends of it
/// have a name that must be kept: graph inputs, outputs, and what subgraphs read.
///
/// # Errors
/// [`ModelError::Shape`], and tensors whose data does not fit their shape.
pub fn remove_noops(mut graph: Graph) -> Result<(Graph, NoopReport), ModelError> {
    let mut report = NoopReport::default();
    let shapes = Shapes::infer(&graph)?;
    report.merged = merge_transposes(&mut graph);
    let index = graph.index();
    // From a value that is gone to the one in its place.
    let mut forward: HashMap<String, String> = HashMap::new();
    // From a value to the output's name that it takes.
    let mut renamed: HashMap<String, String> = HashMap::new();
    let mut gone: HashSet<usize> = HashSet::new();
    for (i, node) in graph.nodes().iter().enumerate() {
        if !is_noop(&graph, &index, &shapes, node)? {
            continue;
        }
        let (Some(x), Some(y)) = (node.input_at(0), node.output.first()) else { continue };
        let x = forward.get(x).map_or(x, String::as_str);
        if !index.is_output(y) && !index.is_captured(y) {
            forward.insert(y.clone(), x.to_owned());
        } else if index.is_output(y)
            && !index.is_captured(y)
            && index.producer(x).is_some()
            && !index.is_output(x)
            && !index.is_captured(x)
            && !renamed.contains_key(x)
        {
            renamed.insert(x.to_owned(), y.clone());
        } else {
            continue;
        }
        gone.insert(i);
        *report.removed.entry(node.op_type.clone()).or_default() += 1;
    }
    let mut nodes = std::mem::take(&mut graph.body.node);
    let mut position = 0;
    nodes.retain(|_| {
        position += 1;
        !gone.contains(&(position - 1))
    });
    for node in &mut nodes {
        for input in &mut node.input {
            if let Some(x) = forward.get(input) {
                input.clone_from(x);
            }
        }
        for name in node.input.iter_mut().chain(&mut node.output) {
            if let Some(y) = renamed.get(name) {
                name.clone_from(y);
            }
        }
    }
    graph.body.node = nodes;
    super::drop_dead(&mut graph);
    Ok((graph, report))
}

fn is_noop(graph: &Graph, index: &Index, shapes: &Shapes, node: &NodeProto) -> Result<bool, ModelError> {
    let Some(x) = node.input_at(0) else { return Ok(false) };
    let unused = |o: &String| o.is_empty() || !(index.is_read(o) || index.is_output(o));
    if !node.is(&node.op_type) || node.has_subgraph() || !node.output.iter().skip(1).all(unused) {
        return Ok(false);
    }
    let value = |name: &str| shapes.get(name);
    let (before, after) = (value(x), node.output.first().and_then(|y| value(y)));
    let same_shape = || before.zip(after).is_some_and(|(x, y)| x.same_shape(y));
    let constant = |i: usize| index.initializer(graph, node.input_at(i)?);
    // Every element of the constant, and it changes nothing but values.
    let all = |i: usize, what: f32| -> Result<bool, ModelError> {
        Ok(match constant(i).filter(|t| is_float(t)) {
            Some(t) => floats(t)?.iter().all(|v| v.to_bits() == what.to_bits()) && same_shape(),
            None => false,
        })
    };
    let listed = |i: usize, what: &dyn Fn(i64) -> bool| -> Result<bool, ModelError> {
        constant(i).map_or(Ok(false), |t| Ok(integer_list(t)?.is_some_and(|l| l.into_iter().all(what))))
    };
    Ok(match node.op_type.as_str() {
        "Identity" => true,
        // The third input says whether this is training.
        "Dropout" => match constant(2) {
            Some(t) => t.raw_data.iter().all(|b| *b == 0) && t.int32_data.iter().all(|b| *b == 0),
            None => node.input_at(2).is_none(),
        },
        "Cast" => before.zip(after).is_some_and(|(x, y)| x.element.is_some() && x.element == y.element),
        "Reshape" | "Expand" | "Flatten" | "Squeeze" | "Unsqueeze" => same_shape(),
        "Transpose" => attribute_ints(node, "perm").is_some_and(|p| p.iter().copied().eq(0..p.len() as i64)),
        "Slice" => same_shape() && (node.input_at(4).is_none() || listed(4, &|step| step == 1)?),
        "Pad" => listed(1, &|n| n == 0)?,
        "Tile" => listed(1, &|n| n == 1)?,
        "Concat" | "Sum" | "Max" | "Min" | "Mean" => node.input.len() == 1,
        "Clip" => node.input_at(1).is_none() && node.input_at(2).is_none(),
        "LeakyRelu" => attribute_float(node, "alpha", 0.01).to_bits() == 1.0_f32.to_bits(),
        "Add" | "Sub" => all(1, 0.0)?,
        "Mul" | "Div" | "Pow" => all(1, 1.0)?,
        "MaxPool" | "AveragePool" => {
            let ones = |name: &str| attribute_ints(node, name).is_none_or(|l| l.iter().all(|n| *n == 1));
            let zeros = attribute_ints(node, "pads").is_none_or(|l| l.iter().all(|n| *n == 0));
            attribute_ints(node, "kernel_shape").is_some() && ones("kernel_shape") && ones("strides") && zeros
        }
        "Split" => node.output.len() == 1 && attribute_int(node, "num_outputs", 1) == 1,
        _ => false,
    })
}

/// `None` for another element type.
fn integer_list(tensor: &TensorProto) -> Result<Option<Vec<i64>>, ModelError> {
    use crate::proto::tensor_proto::DataType;
    let fits = [DataType::Int64 as i32, DataType::Int32 as i32].contains(&tensor.data_type);
    fits.then(|| integers(tensor)).transpose()
}

/// NHWC exporters put one before and one after each convolution.
fn merge_transposes(graph: &mut Graph) -> usize {
    let index = graph.index();
    let mut merged = 0;
    for i in 0..graph.body.node.len() {
        let node = &graph.body.node[i];
        let Some(before) = node.input_at(0).filter(|_| node.is("Transpose")).and_then(|x| index.producer(x)) else {
            continue;
        };
        let first = &graph.body.node[before];
        let (Some(inner), Some(outer)) = (attribute_ints(first, "perm"), attribute_ints(node, "perm")) else {
            continue;
        };
        let at = |o: &i64| usize::try_from(*o).ok().and_then(|o| inner.get(o)).copied();
        let (Some(both), Some(x)) = (outer.iter().map(at).collect::<Option<Vec<_>>>(), first.input_at(0)) else {
            continue;
        };
        if !first.is("Transpose") || inner.len() != outer.len() {
            continue;
        }
        let x = x.to_owned();
        let node = &mut graph.body.node[i];
        node.input[0] = x;
        node.set(integers_attribute("perm", &both));
        merged += 1;
    }
    merged
}
