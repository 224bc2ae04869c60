use crate::onnx::Graph;

/// What [`remove_dead`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeadReport {
    pub nodes: usize,
}

/// Takes out nodes that nothing reads, and what only they read.
pub fn remove_dead(mut graph: Graph) -> (Graph, DeadReport) {
    let nodes = drop_dead(&mut graph);
    (graph, DeadReport { nodes })
}

/// The same in place; how many nodes that were.
pub(super) fn drop_dead(graph: &mut Graph) -> usize {
    let before = graph.body.node.len();
    loop {
        let index = graph.index();
        let count = graph.body.node.len();
        graph.body.node.retain(|node| {
            let wanted = |o: &String| index.is_read(o) || index.is_output(o);
            node.output.iter().any(|o| !o.is_empty() && wanted(o))
        });
        if graph.body.node.len() == count {
            break;
        }
    }
    graph.prune();
    before - graph.body.node.len()
}
