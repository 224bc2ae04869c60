//! Makes what recipes say; what several of them begin with is made once.

use std::collections::BTreeMap;
use std::time::Instant;

use drydock_contract::{Recipe, Technique};

use super::budget::Costs;
use crate::Error;
use crate::engine::Engine;
use crate::onnx::Graph;
use crate::progress::Progress;
use crate::technique::{self, Given};

#[derive(Debug)]
pub(super) struct Workshop<'a> {
    engine: &'a Engine,
    /// The model as it came, cleaned: what every recipe begins with, and the teacher of those that distill.
    original: Graph,
    given: Given<'a>,
    made: BTreeMap<String, Graph>,
    costs: Costs,
}

impl<'a> Workshop<'a> {
    pub fn new(engine: &'a Engine, original: Graph, given: Given<'a>) -> Self {
        Self { engine, original, given, made: BTreeMap::new(), costs: Costs::default() }
    }

    /// The same bytes as [`technique::apply`] gives.
    pub fn make(&mut self, recipe: &Recipe, progress: &mut Progress) -> Result<Vec<u8>, Error> {
        let techniques = recipe.techniques.as_slice();
        let done = self.done(techniques);
        let mut graph = self.made.get(&key(&techniques[..done])).unwrap_or(&self.original).clone();
        for i in done..techniques.len() {
            let begin = Instant::now();
            let original = Some(&self.original);
            (graph, _) = technique::step(self.engine, graph, &techniques[..=i], original, &self.given, progress)?;
            self.costs.note(&techniques[i], begin.elapsed().as_secs_f64());
            if i + 1 < techniques.len() {
                self.made.insert(key(&techniques[..=i]), graph.clone());
            }
        }
        Ok(graph.encode())
    }

    /// Seconds that the recipe will take, as far as is known.
    pub fn expect(&self, recipe: &Recipe) -> f64 {
        self.costs.expect(&recipe.techniques[self.done(&recipe.techniques)..])
    }

    /// Keeps what these begin with and nothing else.
    pub fn keep<'r>(&mut self, recipes: impl Iterator<Item = &'r Recipe>) {
        let prefixes = |r: &'r Recipe| (1..=r.techniques.len()).map(move |n| key(&r.techniques[..n]));
        let wanted: std::collections::BTreeSet<String> = recipes.flat_map(prefixes).collect();
        self.made.retain(|prefix, _| wanted.contains(prefix));
    }

    /// Techniques that need not be applied again.
    fn done(&self, techniques: &[Technique]) -> usize {
        (0..=techniques.len()).rev().find(|n| self.made.contains_key(&key(&techniques[..*n]))).unwrap_or(0)
    }
}

fn key(techniques: &[Technique]) -> String {
    serde_json::to_string(techniques).unwrap_or_default()
}
