//! Order of the nodes, and what subgraphs read from outside.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::ModelError;
use crate::proto::{GraphProto, NodeProto};

/// Puts the nodes in topological order; a graph that has one already stays as it is.
pub(super) fn sort(graph: &mut GraphProto) -> Result<(), ModelError> {
    let mut known: HashSet<&str> = graph.input.iter().map(|i| i.name.as_str()).collect();
    known.extend(graph.initializer.iter().map(|t| t.name.as_str()));
    known.extend(graph.sparse_initializer.iter().filter_map(|t| t.values.as_ref()).map(|t| t.name.as_str()));

    let mut producers: HashMap<&str, usize> = HashMap::new();
    for (i, node) in graph.node.iter().enumerate() {
        for value in node.output.iter().filter(|v| !v.is_empty()) {
            if known.contains(value.as_str()) || producers.insert(value, i).is_some() {
                return Err(ModelError::MadeTwice { node: node.label(), value: value.clone() });
            }
        }
    }
    for output in &graph.output {
        if !known.contains(output.name.as_str()) && !producers.contains_key(output.name.as_str()) {
            return Err(ModelError::UnknownValue { node: "\"graph output\"".into(), value: output.name.clone() });
        }
    }

    // Kahn's algorithm; the smallest position first, so that the order changes only where it must.
    let mut waits: Vec<usize> = vec![0; graph.node.len()];
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); graph.node.len()];
    for (i, node) in graph.node.iter().enumerate() {
        let mut sources = BTreeSet::new();
        let mut unknown = None;
        for value in node.input.iter().filter(|v| !v.is_empty()) {
            match producers.get(value.as_str()) {
                Some(&p) => drop(sources.insert(p)),
                None if known.contains(value.as_str()) => {}
                None => unknown = Some(value.clone()),
            }
        }
        if let Some(value) = unknown {
            return Err(ModelError::UnknownValue { node: node.label(), value });
        }
        captured(node, &mut |value| {
            if let Some(&p) = producers.get(value) {
                sources.insert(p);
            }
        });
        waits[i] = sources.len();
        for p in sources {
            readers[p].push(i);
        }
    }
    let mut ready: BTreeSet<usize> = (0..waits.len()).filter(|i| waits[*i] == 0).collect();
    let mut order = Vec::with_capacity(waits.len());
    while let Some(i) = ready.pop_first() {
        order.push(i);
        for &reader in &readers[i] {
            waits[reader] -= 1;
            if waits[reader] == 0 {
                ready.insert(reader);
            }
        }
    }
    if let Some(stuck) = waits.iter().position(|w| *w > 0) {
        return Err(ModelError::Cycle { node: graph.node[stuck].label() });
    }
    if !order.is_sorted() {
        let mut nodes: Vec<NodeProto> = std::mem::take(&mut graph.node);
        graph.node = order.into_iter().map(|i| std::mem::take(&mut nodes[i])).collect();
    }
    Ok(())
}

/// Calls `f` with each name that the node's subgraphs read and do not make themselves.
pub(super) fn captured<'n>(node: &'n NodeProto, f: &mut dyn FnMut(&'n str)) {
    for graph in node.attribute.iter().flat_map(|a| a.g.iter().chain(&a.graphs)) {
        let mut own: HashSet<&str> = graph.input.iter().map(|i| i.name.as_str()).collect();
        own.extend(graph.initializer.iter().map(|t| t.name.as_str()));
        own.extend(graph.node.iter().flat_map(|n| &n.output).map(String::as_str));
        let reads = graph.node.iter().flat_map(|n| &n.input).chain(graph.output.iter().map(|o| &o.name));
        for name in reads.filter(|n| !n.is_empty() && !own.contains(n.as_str())) {
            f(name);
        }
        for inner in &graph.node {
            captured(inner, &mut |name| {
                if !own.contains(name) {
                    f(name);
                }
            });
        }
    }
}

/// Calls `f` with each name that the node's subgraphs give to a value of their own.
pub(super) fn made_inside(node: &NodeProto, f: &mut dyn FnMut(&str)) {
    for graph in node.attribute.iter().flat_map(|a| a.g.iter().chain(&a.graphs)) {
        graph.input.iter().for_each(|i| f(&i.name));
        graph.initializer.iter().for_each(|t| f(&t.name));
        for inner in &graph.node {
            inner.output.iter().for_each(|o| f(o));
            made_inside(inner, f);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::new_node;
    use crate::proto::ValueInfoProto;

    fn graph(nodes: &[(&str, &str)]) -> GraphProto {
        let value = |name: &str| ValueInfoProto { name: name.into(), ..ValueInfoProto::default() };
        GraphProto {
            input: vec![value("x")],
            output: vec![value("y")],
            node: nodes.iter().map(|(i, o)| new_node("Relu", vec![(*i).into()], (*o).into())).collect(),
            ..GraphProto::default()
        }
    }

    #[test]
    fn sorts_what_can_be_sorted_and_names_what_cannot() {
        let mut reversed = graph(&[("a", "y"), ("x", "a")]);
        sort(&mut reversed).unwrap();
        assert_eq!(reversed.node[0].output, ["a"]);

        for (nodes, part) in [
            (&[("y", "a"), ("a", "y")][..], "cycle"),
            (&[("y", "y")], "cycle"),
            (&[("nowhere", "y")], "\"nowhere\""),
            (&[("x", "y"), ("x", "y")], "made twice"),
            (&[("x", "x"), ("x", "y")], "made twice"),
            (&[("x", "z")], "graph output"),
        ] {
            let error = sort(&mut graph(nodes)).unwrap_err().to_string();
            assert!(error.contains(part), "{nodes:?}: {error}");
        }
    }
}
