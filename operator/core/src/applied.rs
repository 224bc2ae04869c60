/// What came of a plan's writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// The child (`Deployment fashion-abc`) and what the API server said.
    pub failed: Vec<(String, String)>,
    pub written: usize,
    pub pruned: usize,
}
