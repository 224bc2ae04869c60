use crate::proto::attribute_proto::AttributeType;
use crate::proto::{AttributeProto, NodeProto};

fn attribute<'n>(node: &'n NodeProto, name: &str) -> Option<&'n AttributeProto> {
    node.attribute.iter().find(|a| a.name == name)
}

pub fn attribute_int(node: &NodeProto, name: &str, default: i64) -> i64 {
    attribute(node, name).map_or(default, |a| a.i)
}

pub fn attribute_float(node: &NodeProto, name: &str, default: f32) -> f32 {
    attribute(node, name).map_or(default, |a| a.f)
}

pub fn attribute_ints<'n>(node: &'n NodeProto, name: &str) -> Option<&'n [i64]> {
    attribute(node, name).map(|a| a.ints.as_slice())
}

/// Of a string attribute; empty if there is none, or it is no UTF-8.
pub fn attribute_text<'n>(node: &'n NodeProto, name: &str) -> &'n str {
    attribute(node, name).and_then(|a| std::str::from_utf8(&a.s).ok()).unwrap_or_default()
}

pub fn integer_attribute(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: AttributeType::Int as i32, i: value, ..AttributeProto::default() }
}

pub fn integers_attribute(name: &str, values: &[i64]) -> AttributeProto {
    let r#type = AttributeType::Ints as i32;
    AttributeProto { name: name.into(), r#type, ints: values.to_vec(), ..AttributeProto::default() }
}

pub fn text_attribute(name: &str, value: &str) -> AttributeProto {
    let r#type = AttributeType::String as i32;
    AttributeProto { name: name.into(), r#type, s: value.as_bytes().to_vec(), ..AttributeProto::default() }
}

/// A node of the default domain, without a name: names are optional, and must be unique where there are any.
pub fn new_node(op_type: &str, input: Vec<String>, output: String) -> NodeProto {
    NodeProto { op_type: op_type.into(), input, output: vec![output], ..NodeProto::default() }
}

impl NodeProto {
    /// Of the standard operators: another domain's operator of the same name is another operator.
    pub(crate) fn is(&self, op_type: &str) -> bool {
        self.op_type == op_type && matches!(self.domain.as_str(), "" | "ai.onnx")
    }

    pub(crate) fn has_subgraph(&self) -> bool {
        self.attribute.iter().any(|a| a.g.is_some() || !a.graphs.is_empty())
    }

    /// Puts the attribute in the place of the one of its name.
    pub(crate) fn set(&mut self, attribute: AttributeProto) {
        self.take(&attribute.name);
        self.attribute.push(attribute);
    }

    pub(crate) fn take(&mut self, name: &str) -> Option<AttributeProto> {
        let at = self.attribute.iter().position(|a| a.name == name)?;
        Some(self.attribute.remove(at))
    }

    /// The name, or what else tells it apart, for messages.
    pub(crate) fn label(&self) -> String {
        let name = if self.name.is_empty() { self.output.first() } else { Some(&self.name) };
        format!("{:?} ({})", name.map_or("", String::as_str), self.op_type)
    }

    /// The input, where it is there: absent optional inputs are empty names.
    pub(crate) fn input_at(&self, index: usize) -> Option<&str> {
        self.input.get(index).map(String::as_str).filter(|name| !name.is_empty())
    }
}
