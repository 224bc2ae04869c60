use std::collections::{BTreeMap, BTreeSet};

use super::rules;
use crate::onnx::{Graph, ModelError, Shapes};

/// One channel of one tensor, of an activation or an initializer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slice {
    pub tensor: String,
    pub axis: usize,
    pub channel: usize,
}

/// Channels that run through the same tensors, so that any of them can be taken out in place of another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Family {
    /// Each is to be taken out as a whole, or not at all.
    pub units: Vec<Vec<Slice>>,
}

/// Which channels of a graph depend on one another: those that are added, multiplied or concatenated, those of a depthwise
/// convolution's input and output, those of a weight that several nodes share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Groups {
    /// Without channels that an output of the graph, a subgraph or an operator without a rule reads.
    pub families: Vec<Family>,
    /// Channels of each tensor's axis that a family runs through.
    pub counts: BTreeMap<(String, usize), usize>,
    /// `Reshape` nodes, by output, that fold channels and must do so for fewer.
    pub reshapes: BTreeSet<String>,
}

impl Groups {
    /// # Errors
    /// A constant whose data does not fit its shape.
    pub fn of(graph: &Graph, shapes: &Shapes) -> Result<Self, ModelError> {
        let mut coupling = Coupling::default();
        rules::couple(graph, shapes, &mut coupling)?;
        Ok(coupling.groups())
    }
}

/// Sets of channels that grow together as nodes are looked at.
#[derive(Debug, Default)]
pub(super) struct Coupling {
    /// From a tensor's axis to where its channels begin, and how many there are.
    spaces: BTreeMap<(String, usize), (usize, usize)>,
    /// Union-find: the channel that this one was joined to, at last itself.
    parents: Vec<usize>,
    locked_tensors: BTreeSet<String>,
    /// Of an activation that a rule has made.
    axes: BTreeMap<String, usize>,
    pub(super) reshapes: BTreeSet<String>,
}

/// The channels of one axis of one tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Channels {
    start: usize,
    pub(super) count: usize,
}

impl Coupling {
    /// The axis of a tensor, once known under any length under that one for good: `None` for another.
    pub(super) fn axis(&mut self, tensor: &str, axis: usize, count: usize) -> Option<Channels> {
        let start = self.parents.len();
        let (start, known) = *self.spaces.entry((tensor.to_owned(), axis)).or_insert((start, count));
        if start == self.parents.len() {
            self.parents.extend(start..start + count);
        }
        (known == count).then_some(Channels { start, count })
    }

    /// An activation whose channels are along `axis`.
    pub(super) fn make(&mut self, value: &str, axis: usize, count: usize) -> Option<Channels> {
        self.axes.insert(value.to_owned(), axis);
        self.axis(value, axis, count)
    }

    /// The channels of an activation, if a rule made it.
    pub(super) fn made(&self, value: &str) -> Option<(usize, Channels)> {
        let axis = *self.axes.get(value)?;
        let &(start, count) = self.spaces.get(&(value.to_owned(), axis))?;
        Some((axis, Channels { start, count }))
    }

    /// The channels of an activation that a node reads along `axis`; locked if nothing is known of where they come from.
    pub(super) fn read(&mut self, value: &str, axis: usize, count: usize) -> Option<Channels> {
        match self.made(value) {
            Some((at, channels)) if at == axis && channels.count == count => Some(channels),
            _ => {
                self.lock(value);
                None
            }
        }
    }

    pub(super) fn join(&mut self, a: Channels, i: usize, b: Channels, j: usize) {
        if i >= a.count || j >= b.count {
            return;
        }
        let (a, b) = (self.root(a.start + i), self.root(b.start + j));
        // The smaller position stays: names do not decide the order.
        self.parents[a.max(b)] = a.min(b);
    }

    /// Channel by channel.
    pub(super) fn join_all(&mut self, a: Channels, b: Channels) {
        for i in 0..a.count {
            self.join(a, i, b, i);
        }
    }

    /// None of the tensor's channels can be taken out.
    pub(super) fn lock(&mut self, tensor: &str) {
        self.locked_tensors.insert(tensor.to_owned());
    }

    fn root(&mut self, mut at: usize) -> usize {
        while self.parents[at] != at {
            self.parents[at] = self.parents[self.parents[at]];
            at = self.parents[at];
        }
        at
    }

    fn groups(mut self) -> Groups {
        let spaces = std::mem::take(&mut self.spaces);
        // By root: all joins are done.
        let mut locked: BTreeSet<usize> = BTreeSet::new();
        for ((tensor, _), &(start, count)) in &spaces {
            if self.locked_tensors.contains(tensor) {
                locked.extend((start..start + count).map(|i| self.root(i)));
            }
        }
        let counts = spaces.iter().map(|(space, (_, count))| (space.clone(), *count)).collect();
        let mut units: BTreeMap<usize, Vec<Slice>> = BTreeMap::new();
        for ((tensor, axis), (start, count)) in spaces {
            for channel in 0..count {
                let root = self.root(start + channel);
                let slice = Slice { tensor: tensor.clone(), axis, channel };
                units.entry(root).or_default().push(slice);
            }
        }
        let mut families: BTreeMap<Vec<(String, usize)>, Family> = BTreeMap::new();
        let mut order: Vec<Vec<(String, usize)>> = Vec::new();
        for (_, unit) in units.into_iter().filter(|(root, _)| !locked.contains(root)) {
            let mut through: Vec<(String, usize)> = unit.iter().map(|s| (s.tensor.clone(), s.axis)).collect();
            through.dedup();
            if !families.contains_key(&through) {
                order.push(through.clone());
            }
            families.entry(through).or_default().units.push(unit);
        }
        let families = order.iter().filter_map(|key| families.remove(key)).filter(|f| f.units.len() > 1);
        Groups { families: families.collect(), counts, reshapes: self.reshapes }
    }
}
