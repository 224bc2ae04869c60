use std::collections::{BTreeMap, BTreeSet};

use super::groups::Groups;
use crate::onnx::{Graph, ModelError, attribute_int, float_tensor, floats, integer_attribute, tensor};
use crate::passes::names::Names;
use crate::proto::TensorProto;
use crate::proto::tensor_proto::DataType;

/// By tensor and axis, the channels that are left, where some are gone.
pub type Kept = BTreeMap<(String, usize), Vec<usize>>;

/// `removed[family]` are positions in the family's units.
pub fn kept(groups: &Groups, removed: &[BTreeSet<usize>]) -> Kept {
    let mut gone: BTreeMap<(String, usize), BTreeSet<usize>> = BTreeMap::new();
    for (family, removed) in groups.families.iter().zip(removed) {
        for slice in removed.iter().filter_map(|i| family.units.get(*i)).flatten() {
            gone.entry((slice.tensor.clone(), slice.axis)).or_default().insert(slice.channel);
        }
    }
    let left = |(space, gone): ((String, usize), BTreeSet<usize>)| {
        let count = groups.counts.get(&space).copied().unwrap_or_default();
        (space, (0..count).filter(|c| !gone.contains(c)).collect())
    };
    gone.into_iter().map(left).collect()
}

/// Cuts the channels out of every constant, and brings what counts channels into line.
///
/// # Errors
/// A constant whose data does not fit its shape.
pub fn remove(mut graph: Graph, groups: &Groups, kept: &Kept) -> Result<Graph, ModelError> {
    for ((name, axis), left) in kept {
        if let Some(tensor) = graph.body.initializer.iter_mut().find(|t| t.name == *name) {
            *tensor = take(tensor, *axis, left)?;
        }
    }
    let index = graph.index();
    let mut names = Names::new(&index);
    let mut shapes = Vec::new();
    let mut widths: BTreeMap<usize, i64> = BTreeMap::new();
    for (position, node) in graph.body.node.iter().enumerate() {
        let Some(output) = node.output.first() else { continue };
        // Depthwise: as many groups as channels.
        if node.is("Conv")
            && attribute_int(node, "group", 1) > 1
            && let Some(left) = node.input_at(0).and_then(|x| kept.get(&(x.to_owned(), 1)))
            && node.input_at(1).and_then(|w| index.initializer(&graph, w)).is_some_and(|w| w.dims.get(1) == Some(&1))
        {
            widths.insert(position, left.len() as i64);
        }
        if node.is("Reshape") && groups.reshapes.contains(output) && kept.contains_key(&(output.clone(), 1)) {
            shapes.push((position, names.make(output, ".shape")));
        }
    }
    for (position, width) in widths {
        let attributes = &mut graph.body.node[position].attribute;
        attributes.retain(|a| a.name != "group");
        attributes.push(integer_attribute("group", width));
    }
    for (position, name) in shapes {
        // The batch as it is, and all the rest in one dimension.
        let bytes = [0_i64, -1].iter().flat_map(|d| d.to_le_bytes()).collect();
        graph.body.initializer.push(tensor(&name, DataType::Int64, &[2], bytes));
        let node = &mut graph.body.node[position];
        node.attribute.retain(|a| a.name != "allowzero");
        node.input[1] = name;
    }
    // Shapes that the file declares are those of before.
    graph.body.value_info.clear();
    graph.prune();
    Ok(graph)
}

fn take(tensor: &TensorProto, axis: usize, left: &[usize]) -> Result<TensorProto, ModelError> {
    let values = floats(tensor)?;
    let inner = tensor.dims[axis + 1..].iter().product::<i64>() as usize;
    let count = tensor.dims[axis] as usize;
    let mut result = Vec::with_capacity(values.len());
    for outer in values.chunks((count * inner).max(1)) {
        for channel in left {
            result.extend_from_slice(&outer[channel * inner..(channel + 1) * inner]);
        }
    }
    let mut dims = tensor.dims.clone();
    dims[axis] = left.len() as i64;
    Ok(float_tensor(&tensor.name, &dims, &result))
}
