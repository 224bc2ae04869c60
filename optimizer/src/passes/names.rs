use std::collections::HashSet;

use crate::onnx::Index;

/// Makes names that no value of the graph has.
#[derive(Debug)]
pub(super) struct Names<'i> {
    index: &'i Index,
    made: HashSet<String>,
}

impl<'i> Names<'i> {
    pub(super) fn new(index: &'i Index) -> Self {
        Self { index, made: HashSet::new() }
    }

    /// `stem` and the suffix, and a number if that is taken.
    pub(super) fn make(&mut self, stem: &str, suffix: &str) -> String {
        let mut name = format!("{stem}{suffix}");
        let mut i = 1_u32;
        while self.index.is_taken(&name) || self.made.contains(&name) {
            name = format!("{stem}{suffix}_{i}");
            i += 1;
        }
        self.made.insert(name.clone());
        name
    }
}
