use super::names::Names;
use crate::onnx::{
    Graph, ModelError, Shapes, attribute_int, attribute_text, integer_attribute, integer_tensor, new_node,
    text_attribute,
};
use crate::proto::{AttributeProto, GraphProto, NodeProto, TensorProto};

/// What every other pass expects at the least.
const TARGET: i64 = 13;

/// What [`upgrade`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpgradeReport {
    /// The opset that the graph came in.
    pub from: i64,
    /// Nodes that are written in another way now.
    pub rewritten: usize,
}

/// Brings opsets 11 and 12 to 13, subgraphs included; later ones stay as they are.
///
/// What differs: axes of `Squeeze`, `Unsqueeze` and `ReduceSum` and the parts of `Split` became inputs, `Softmax`,
/// `LogSoftmax` and `Hardmax` no longer flatten, `Dropout` has its ratio as an input and `Resize` lost a mode.
/// <https://github.com/onnx/onnx/blob/main/docs/Changelog.md>
///
/// # Errors
/// A `Resize` in the mode that was lost, with a rounding that no other mode has.
pub fn upgrade(mut graph: Graph) -> Result<(Graph, UpgradeReport), ModelError> {
    let mut report = UpgradeReport { from: graph.opset(), rewritten: 0 };
    if graph.opset() >= TARGET {
        return Ok((graph, report));
    }
    let index = graph.index();
    let shapes = Shapes::infer(&graph)?;
    let mut upgrade = Upgrade { names: Names::new(&index), shapes: Some(&shapes), report: &mut report };
    upgrade.body(&mut graph.body)?;
    graph.set_opset(TARGET);
    Ok((graph, report))
}

struct Upgrade<'u> {
    names: Names<'u>,
    /// None inside subgraphs, whose values are not among them.
    shapes: Option<&'u Shapes>,
    report: &'u mut UpgradeReport,
}

impl Upgrade<'_> {
    fn body(&mut self, graph: &mut GraphProto) -> Result<(), ModelError> {
        for mut node in std::mem::take(&mut graph.node) {
            for attribute in &mut node.attribute {
                let outer = self.shapes.take();
                for inner in attribute.g.iter_mut().chain(&mut attribute.graphs) {
                    self.body(inner)?;
                }
                self.shapes = outer;
            }
            if node.is(&node.op_type) {
                self.node(node, graph)?;
            } else {
                graph.node.push(node);
            }
        }
        Ok(())
    }

    fn node(&mut self, mut node: NodeProto, graph: &mut GraphProto) -> Result<(), ModelError> {
        match node.op_type.as_str() {
            "Squeeze" | "Unsqueeze" | "ReduceSum" => self.attribute_to_input(&mut node, "axes", &mut graph.initializer),
            "Split" => self.attribute_to_input(&mut node, "split", &mut graph.initializer),
            // In inference the ratio means nothing.
            "Dropout" => self.report.rewritten += usize::from(node.take("ratio").is_some()),
            "Softmax" | "LogSoftmax" | "Hardmax" => return self.softmax(node, graph),
            "Resize" => self.resize(&mut node)?,
            _ => {}
        }
        graph.node.push(node);
        Ok(())
    }

    fn attribute_to_input(&mut self, node: &mut NodeProto, attribute: &str, initializers: &mut Vec<TensorProto>) {
        let Some(AttributeProto { ints, .. }) = node.take(attribute) else { return };
        let stem = node.output.first().map_or("", String::as_str);
        let name = self.names.make(stem, &format!(".{attribute}"));
        initializers.push(integer_tensor(&name, &[ints.len() as i64], &ints));
        node.input.truncate(1);
        node.input.push(name);
        self.report.rewritten += 1;
    }

    /// Over all axes from `axis` on, which was 1 by default; 13 has the one axis, by default the last.
    fn softmax(&mut self, mut node: NodeProto, graph: &mut GraphProto) -> Result<(), ModelError> {
        self.report.rewritten += 1;
        let axis = attribute_int(&node, "axis", 1);
        let value = node.input_at(0).and_then(|x| self.shapes?.get(x));
        if let Some(shape) = value.and_then(|v| v.shape.as_ref()) {
            let rank = shape.len() as i64;
            let from_front = if axis < 0 { axis.saturating_add(rank) } else { axis };
            let Some(rest) = usize::try_from(from_front).ok().and_then(|a| shape.get(a + 1..)) else {
                let problem = format!("axis {axis} of a tensor of {rank} dimensions");
                return Err(ModelError::Shape { node: node.label(), problem });
            };
            if rest.iter().all(|d| d.size() == Some(1)) {
                node.set(integer_attribute("axis", from_front));
                graph.node.push(node);
                return Ok(());
            }
        }
        let (Some(x), Some(y)) = (node.input.first().cloned(), node.output.first().cloned()) else {
            graph.node.push(node);
            return Ok(());
        };
        let [shape, rows, soft] = [".shape", ".rows", ".soft"].map(|suffix| self.names.make(&y, suffix));
        graph.node.push(new_node("Shape", vec![x.clone()], shape.clone()));
        let mut flatten = new_node("Flatten", vec![x], rows.clone());
        flatten.attribute.push(integer_attribute("axis", axis));
        graph.node.push(flatten);
        node.set(integer_attribute("axis", 1));
        node.input = vec![rows];
        node.output = vec![soft.clone()];
        graph.node.push(node);
        graph.node.push(new_node("Reshape", vec![soft, shape], y));
        Ok(())
    }

    /// The lost mode's coordinate is that of `half_pixel` and ½, so that with another rounding it is the same:
    /// ⌊h + ½⌋ rounds halves up, and the default, ⌈(h + ½) - ½⌉, is ⌈h⌉.
    fn resize(&mut self, node: &mut NodeProto) -> Result<(), ModelError> {
        if node.input_at(3).is_some() && node.input_at(2).is_some() {
            // Beside sizes the scales had to be an empty tensor; now they have to be absent.
            node.input[2].clear();
            self.report.rewritten += 1;
        }
        if attribute_text(node, MODE) != "tf_half_pixel_for_nn" {
            return Ok(());
        }
        let (mode, rounding) = (attribute_text(node, "mode"), attribute_text(node, "nearest_mode"));
        let rounding = match (mode, rounding) {
            ("" | "nearest", "floor") => "round_prefer_ceil",
            ("" | "nearest", "" | "round_prefer_floor") => "ceil",
            _ => {
                let problem = format!(
                    "coordinates of tf_half_pixel_for_nn, mode {mode:?} and rounding {rounding:?}, which opset 13 lacks; \
                     expected mode \"nearest\" and rounding \"floor\" or \"round_prefer_floor\"; \
                     export the model with opset 13 or later"
                );
                return Err(ModelError::Shape { node: node.label(), problem });
            }
        };
        node.set(text_attribute(MODE, "half_pixel"));
        node.set(text_attribute("nearest_mode", rounding));
        self.report.rewritten += 1;
        Ok(())
    }
}

const MODE: &str = "coordinate_transformation_mode";
