//! What several recipes begin with is made once.

use std::collections::{BTreeMap, BTreeSet};

use drydock_contract::{Recipe, Technique};

/// What the beginnings of recipes came to: graphs, in a search.
#[derive(Clone, Debug)]
pub(super) struct Prefixes<T> {
    made: BTreeMap<String, T>,
}

impl<T: Clone> Prefixes<T> {
    pub fn new() -> Self {
        Self { made: BTreeMap::new() }
    }

    /// What all techniques come to, from `original` on. `step` applies the last of the techniques that it is given: none that has been
    /// applied for another recipe with the same ones before it.
    pub fn make<E>(
        &mut self,
        original: &T,
        techniques: &[Technique],
        mut step: impl FnMut(T, &[Technique]) -> Result<T, E>,
    ) -> Result<T, E> {
        let done = self.done(techniques);
        let mut found = self.made.get(&key(&techniques[..done])).unwrap_or(original).clone();
        for i in done..techniques.len() {
            found = step(found, &techniques[..=i])?;
            // Nothing begins with a whole recipe.
            if i + 1 < techniques.len() {
                self.made.insert(key(&techniques[..=i]), found.clone());
            }
        }
        Ok(found)
    }

    /// Techniques that need not be applied again.
    pub fn done(&self, techniques: &[Technique]) -> usize {
        (0..=techniques.len()).rev().find(|n| self.made.contains_key(&key(&techniques[..*n]))).unwrap_or(0)
    }

    /// Keeps what these begin with and nothing else.
    pub fn keep<'r>(&mut self, recipes: impl Iterator<Item = &'r Recipe>) {
        let prefixes = |r: &'r Recipe| (1..=r.techniques.len()).map(move |n| key(&r.techniques[..n]));
        let wanted: BTreeSet<String> = recipes.flat_map(prefixes).collect();
        self.made.retain(|prefix, _| wanted.contains(prefix));
    }
}

fn key(techniques: &[Technique]) -> String {
    serde_json::to_string(techniques).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use drydock_contract::{Distill, Prune, Quantize};

    use super::*;

    fn prune(macs_ratio: f64) -> Technique {
        Technique { prune: Some(Prune { macs_ratio, ..Prune::default() }), ..Technique::default() }
    }

    fn distill() -> Technique {
        Technique { distill: Some(Distill::default()), ..Technique::default() }
    }

    fn quantize() -> Technique {
        Technique { quantize: Some(Quantize::default()), ..Technique::default() }
    }

    /// What has been applied, as the thing that is made; and the number of steps that it took.
    fn made(prefixes: &mut Prefixes<Vec<String>>, techniques: &[Technique]) -> usize {
        let mut steps = 0;
        let step = |mut before: Vec<String>, techniques: &[Technique]| {
            steps += 1;
            before.push(key(&techniques[techniques.len() - 1..]));
            Ok::<_, ()>(before)
        };
        let found = prefixes.make(&Vec::new(), techniques, step).unwrap();
        let expected: Vec<String> = techniques.iter().map(|t| key(std::slice::from_ref(t))).collect();
        assert_eq!(found, expected, "not what the techniques come to one after another");
        steps
    }

    #[test]
    fn what_recipes_begin_with_is_made_once() {
        let mut prefixes = Prefixes::new();
        assert_eq!(made(&mut prefixes, &[prune(0.5), quantize()]), 2);
        assert_eq!(made(&mut prefixes, &[prune(0.5), distill(), quantize()]), 2, "pruned already");
        assert_eq!(made(&mut prefixes, &[prune(0.5), distill()]), 0, "on the way to the one before");
        assert_eq!(made(&mut prefixes, &[prune(0.35), quantize()]), 2, "another ratio is another beginning");
        // The same technique in another place is another thing.
        assert_eq!(made(&mut prefixes, &[distill(), prune(0.5)]), 2);
        assert_eq!(made(&mut prefixes, &[]), 0);
    }

    #[test]
    fn what_no_recipe_begins_with_any_more_is_let_go_of() {
        let mut prefixes = Prefixes::new();
        for ratio in [0.5, 0.35] {
            made(&mut prefixes, &[prune(ratio), distill(), quantize()]);
        }
        let next = Recipe { name: "next".into(), techniques: vec![prune(0.5), quantize()] };
        prefixes.keep(std::iter::once(&next));
        assert_eq!(prefixes.done(&[prune(0.5), distill(), quantize()]), 1, "its beginning is wanted, no more of it");
        assert_eq!(prefixes.done(&[prune(0.35), quantize()]), 0);
        prefixes.keep(std::iter::empty());
        assert_eq!(prefixes.done(&next.techniques), 0);
    }
}
