use std::collections::{BTreeSet, HashMap, HashSet};

use super::Source;
use super::means::MeanCollector;
use crate::engine::{Engine, Value};
use crate::error::Error;
use crate::onnx::{Graph, Index, Shapes, typed_value};
use crate::passes::Mean;
use crate::proto::tensor_proto::DataType;

/// Images in one run.
const BATCH: usize = 8;
/// What some nodes have made and later ones read is held for all images at once.
const HELD_BYTES: usize = 64 << 20;

/// Runs a graph whose layers change one after another on the same images: each node is run twice, and not once for each layer
/// behind it.
#[derive(Debug)]
pub struct Walk<'a> {
    engine: &'a Engine,
    shapes: Shapes,
    /// Made from initializers alone: made again where they are read.
    constants: HashSet<String>,
    /// For each batch, what the nodes that are behind have made for others to read.
    held: Vec<HashMap<String, Value>>,
    images: usize,
}

impl<'a> Walk<'a> {
    /// At the beginning of the graph, with as many of the images as can be held where it will stop.
    pub fn new(source: &Source<'a>, graph: &Graph, stops: impl Iterator<Item = usize>) -> Result<Self, Error> {
        let index = graph.index();
        let (constants, shapes) = (constants(graph), Shapes::infer_batch(graph, 1)?);
        let bytes =
            |name: &String| shapes.sizes(name).map_or(0, |s| s.iter().product::<i64>().unsigned_abs() as usize * 4);
        let held = |at| live(graph, &index, &constants, at).iter().map(bytes).sum::<usize>();
        let most = HELD_BYTES / stops.map(held).max().unwrap_or(0).max(1);
        let mut walk = Self { engine: source.engine, shapes, constants, held: Vec::new(), images: 0 };
        if let [input] = graph.body.input.as_slice() {
            source.data.batches(source.images().min(most.max(BATCH)), BATCH, |batch| {
                let value = Value::of(batch.shape, batch.data)?;
                walk.held.push([(input.name.clone(), value)].into());
                walk.images += batch.count;
                Ok::<(), Error>(())
            })?;
        }
        Ok(walk)
    }

    /// On how many it runs.
    pub fn images(&self) -> usize {
        self.images
    }

    /// Leaves the nodes before `begin` behind; then the mean of each channel of `result`, which one of those from `begin` to `end`
    /// makes. `limits` and `last` as [`Source::means`] has them. Nodes that are behind must not have changed since.
    pub fn means(
        &mut self,
        graph: &Graph,
        (begin, end): (usize, usize),
        result: &str,
        (limits, last): ((f32, f32), bool),
    ) -> Result<Vec<Mean>, Error> {
        let index = graph.index();
        let live = live(graph, &index, &self.constants, begin);
        let known: BTreeSet<String> = self.held.iter().flat_map(HashMap::keys).cloned().collect();
        let outputs: Vec<&str> = live.difference(&known).map(String::as_str).chain([result]).collect();
        let nodes = needed(graph, &index, &known, &outputs, end);
        let read: HashSet<&str> = nodes.iter().flat_map(|i| graph.reads(*i)).collect();
        let inputs: Vec<&String> = known.iter().filter(|name| read.contains(name.as_str())).collect();
        let typed = inputs.iter().map(|n| typed_value(n, self.shapes.element(n).unwrap_or(DataType::Float))).collect();
        let nodes = nodes.into_iter().map(|i| graph.nodes()[i].clone()).collect();
        let mut session = self.engine.open(&graph.encode_part(nodes, typed, &outputs), 1)?;

        let mut collector = MeanCollector::new(limits, last);
        for held in &mut self.held {
            let mut made = session.run_values(inputs.iter().filter_map(|n| Some((n.as_str(), held.get(*n)?))))?;
            if let Some(value) = made.remove(result) {
                let (shape, values) = value.floats(result)?;
                collector.add(shape, values);
            }
            held.extend(made);
            held.retain(|name, _| live.contains(name));
        }
        Ok(collector.means())
    }
}

/// Values that are made from initializers alone.
fn constants(graph: &Graph) -> HashSet<String> {
    let mut known: HashSet<String> = graph.initializers().iter().map(|t| t.name.clone()).collect();
    for (i, node) in graph.nodes().iter().enumerate() {
        if graph.reads(i).all(|name| known.contains(name)) {
            known.extend(node.output.iter().cloned());
        }
    }
    known
}

/// Inputs and what the nodes before `at` make, of which a later one reads.
fn live(graph: &Graph, index: &Index, constants: &HashSet<String>, at: usize) -> BTreeSet<String> {
    let is_made = |name: &str| index.producer(name).map_or(index.is_input(name), |i| i < at);
    let read = (at..graph.nodes().len()).flat_map(|i| graph.reads(i));
    read.filter(|name| is_made(name) && !constants.contains(*name)).map(str::to_owned).collect()
}

/// Of the nodes before `end`, those that make the outputs from what is known, in their order.
fn needed(graph: &Graph, index: &Index, known: &BTreeSet<String>, outputs: &[&str], end: usize) -> BTreeSet<usize> {
    let mut nodes = BTreeSet::new();
    let mut wanted: Vec<&str> = outputs.to_vec();
    while let Some(name) = wanted.pop() {
        let producer = index.producer(name).filter(|i| *i < end && !known.contains(name));
        if let Some(i) = producer.filter(|i| nodes.insert(*i)) {
            wanted.extend(graph.reads(i));
        }
    }
    nodes
}
