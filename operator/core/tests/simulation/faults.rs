use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use super::Cluster;

/// What goes wrong with the writes of one pass, by the number of the write.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// The operator dies after so many.
    pub dies_after: Option<usize>,
    /// A bit for each of the first 64: refused (409, 429, 500, a timeout on the way there).
    pub refused: u64,
    /// Done, and the answer is lost: for the operator it has failed.
    pub unanswered: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    Done,
    Refused,
    Unanswered,
    Died,
}

impl Faults {
    pub fn write(&self, number: usize) -> Write {
        let is = |bits: u64| number < 64 && bits >> number & 1 == 1;
        match self {
            Self { dies_after: Some(after), .. } if number >= *after => Write::Died,
            _ if is(self.refused) => Write::Refused,
            _ if is(self.unanswered) => Write::Unanswered,
            _ => Write::Done,
        }
    }
}

impl Write {
    pub fn arrives(self) -> bool {
        matches!(self, Self::Done | Self::Unanswered)
    }

    /// What the operator is told of a write that has failed for it.
    pub fn answer(self) -> Option<&'static str> {
        match self {
            Self::Done | Self::Died => None,
            Self::Refused => Some("the object has been modified; please apply your changes to the latest version"),
            Self::Unanswered => Some("operation timed out"),
        }
    }
}

/// Three, and what is the matter with them.
#[derive(Clone, Debug, Default)]
pub struct Nodes {
    /// Whose kubelet does not answer, since when.
    pub silent: BTreeMap<u8, Timestamp>,
}

const COUNT: u8 = 3;
/// Seconds until the pods of a node that is silent are not ready for anybody, and until they are evicted.
const NOT_READY_AFTER: i64 = 2;
const EVICTED_AFTER: i64 = 5;

/// How a pod's node stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    Well,
    /// The pod has none: it waits for one that answers.
    Wanted,
    /// Not heard of, and its pods are taken for what they last said.
    Silent,
    NotReady,
    Evicting,
}

impl Cluster {
    pub fn silence(&mut self, node: u8) {
        self.nodes.silent.entry(node % COUNT).or_insert(self.now);
    }

    /// A machine that is gone for good, with whatever ran on it; another comes up in its place.
    pub fn vanish(&mut self, node: u8) {
        let name = node_name(node % COUNT);
        self.nodes.silent.remove(&(node % COUNT));
        let is_on = |p: &Pod| p.spec.as_ref().and_then(|s| s.node_name.as_deref()) == Some(name);
        let before = self.observed.pods.len();
        self.observed.pods.retain(|p| !is_on(p));
        self.wakes.changed |= self.observed.pods.len() != before;
    }
}

impl Nodes {
    /// Binds a pod that has no node yet to one that answers, and says how its node stands.
    pub fn of(&self, pod: &mut Pod, now: Timestamp) -> Node {
        let serial =
            pod.metadata.uid.as_deref().and_then(|uid| uid.strip_prefix("uid-")?.parse::<u64>().ok()).unwrap_or(0);
        let Some(spec) = &mut pod.spec else { return Node::Well };
        let bound = spec.node_name.as_deref().and_then(|name| name.strip_prefix("node-")?.parse().ok());
        let from = u8::try_from(serial % u64::from(COUNT)).unwrap_or(0);
        let well = || (0..COUNT).map(|i| (from + i) % COUNT).find(|node| !self.silent.contains_key(node));
        let Some(node) = bound.or_else(well) else { return Node::Wanted };
        if bound.is_none() {
            spec.node_name = Some(node_name(node).to_owned());
        }
        match self.silent.get(&node).map(|since| now.duration_since(*since).as_secs()) {
            None => Node::Well,
            Some(seconds) if seconds >= EVICTED_AFTER => Node::Evicting,
            Some(seconds) if seconds >= NOT_READY_AFTER => Node::NotReady,
            Some(_) => Node::Silent,
        }
    }
}

fn node_name(node: u8) -> &'static str {
    ["node-0", "node-1", "node-2"][usize::from(node % COUNT)]
}
