//! Makes what recipes say, and knows what that takes.

use std::time::Instant;

use drydock_contract::Recipe;

use super::budget::Costs;
use super::prefixes::Prefixes;
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
    made: Prefixes<Graph>,
    costs: Costs,
}

impl<'a> Workshop<'a> {
    pub fn new(engine: &'a Engine, original: Graph, given: Given<'a>) -> Self {
        Self { engine, original, given, made: Prefixes::new(), costs: Costs::default() }
    }

    /// The same bytes as [`technique::apply`] gives.
    pub fn make(&mut self, recipe: &Recipe, progress: &mut Progress) -> Result<Vec<u8>, Error> {
        let Self { engine, original, given, made, costs } = self;
        let graph = made.make(original, &recipe.techniques, |graph, techniques| {
            let begin = Instant::now();
            let (graph, _) = technique::step(engine, graph, techniques, Some(original), given, progress)?;
            techniques.last().into_iter().for_each(|t| costs.note(t, begin.elapsed().as_secs_f64()));
            Ok::<_, Error>(graph)
        })?;
        Ok(technique::folded(engine, graph, &recipe.techniques)?.encode())
    }

    /// Seconds that the recipe will take, as far as is known.
    pub fn expect(&self, recipe: &Recipe) -> f64 {
        self.costs.expect(&recipe.techniques[self.made.done(&recipe.techniques)..])
    }

    /// Keeps what these begin with and nothing else.
    pub fn keep<'r>(&mut self, recipes: impl Iterator<Item = &'r Recipe>) {
        self.made.keep(recipes);
    }
}
