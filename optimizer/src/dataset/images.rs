use super::DatasetError;
use super::format::Rows;
use super::labels::Labels;
use super::marks::Marks;
use super::tree::Tree;

/// Files with one encoded image each.
#[derive(Debug)]
pub(super) struct ImageFiles {
    tree: Tree,
    /// Indices into the tree.
    order: Vec<u32>,
    labels: Option<Labels>,
    marks: Option<Marks>,
}

struct FileRows<'a> {
    files: &'a ImageFiles,
    next: usize,
    buffer: Vec<u8>,
}

impl ImageFiles {
    pub(super) fn new(tree: Tree, order: Vec<u32>, labels: Option<Labels>) -> Self {
        Self { tree, order, labels, marks: None }
    }

    #[must_use]
    pub(super) fn with_marks(self, marks: Marks) -> Self {
        Self { marks: Some(marks), ..self }
    }

    pub(super) fn marks(&self) -> Option<&Marks> {
        self.marks.as_ref()
    }

    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    pub(super) fn name(&self, index: usize) -> &str {
        self.order.get(index).map_or("", |i| self.tree.name(*i as usize))
    }

    pub(super) fn labels(&self) -> Option<&Labels> {
        self.labels.as_ref()
    }

    pub(super) fn rows(&self) -> impl Rows {
        FileRows { files: self, next: 0, buffer: Vec::new() }
    }
}

impl Rows for FileRows<'_> {
    fn next(&mut self) -> Result<&[u8], DatasetError> {
        let index = self.files.order[self.next] as usize;
        self.next += 1;
        self.files.tree.read(index, &mut self.buffer)?;
        Ok(&self.buffer)
    }
}
