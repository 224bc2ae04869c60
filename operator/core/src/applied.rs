use std::fmt;

/// What came of a plan's writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    pub failed: Vec<FailedWrite>,
    pub written: usize,
    pub pruned: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedWrite {
    /// The child: `Deployment fashion-abc`.
    pub what: String,
    /// In the API server's words.
    pub why: String,
    /// The same write will be refused again: only a change of the spec, or of the cluster by hand, helps.
    pub is_terminal: bool,
}

/// `Deployment fashion-abc: what the API server said`.
impl fmt::Display for FailedWrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)
    }
}
