use std::collections::BTreeMap;
use std::path::PathBuf;

use drydock_contract::{CandidateReport, Digest, Machine, Task, Work};
use serde::{Deserialize, Serialize};

use super::{Store, StoreError, failed};

const RESULTS: &str = "results";

/// Names the result of one index of one task, made by one version of this program on one kind of machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultKey(Digest);

/// The digests that the sources had when a result was made: a task names places, whose content can change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sources {
    pub model: Option<Digest>,
    pub calibration: Option<Digest>,
    pub evaluation: Option<Digest>,
    #[serde(default)]
    pub training: Option<Digest>,
    #[serde(default)]
    pub models: BTreeMap<String, Digest>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    sources: Sources,
    report: CandidateReport,
}

impl ResultKey {
    /// `tools` are versions of what makes the result: another version may make another one. `machine` makes and times it: the times of
    /// another kind, and ranks or a recipe that were chosen by them, are not its own.
    pub fn new(task: &Task, index: usize, tools: &str, machine: &Machine) -> Self {
        let mut task = task.clone();
        if !matches!(task.work(index), Some(Work::Search(_))) {
            // Its gates are nothing to a recipe: other ones must not make what is there already.
            task.search = None;
        }
        let task = serde_json::to_string(&task).unwrap_or_default();
        let machine = serde_json::to_string(machine).unwrap_or_default();
        Self(Digest::of(format!("{task}\n{index}\n{tools}\n{machine}").as_bytes()))
    }
}

impl Store {
    fn result_path(&self, key: &ResultKey) -> PathBuf {
        self.root.join(RESULTS).join(format!("{}.json", key.0.hex()))
    }

    /// The report of an earlier run with the same sources, if its package is still whole.
    pub fn result(&self, key: &ResultKey, sources: &Sources) -> Option<CandidateReport> {
        let kept: Kept = serde_json::from_slice(&std::fs::read(self.result_path(key)).ok()?).ok()?;
        let package = kept.report.package.as_ref()?;
        (kept.sources == *sources && self.holds(package)).then_some(kept.report)
    }

    pub fn keep_result(&self, key: &ResultKey, sources: Sources, report: CandidateReport) -> Result<(), StoreError> {
        let path = self.result_path(key);
        let directory = self.root.join(RESULTS);
        let write = || {
            std::fs::create_dir_all(&directory)?;
            let file = tempfile::NamedTempFile::new_in(&directory)?;
            serde_json::to_writer_pretty(&file, &Kept { sources, report })?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            Ok(())
        };
        write().map_err(failed("write", &path))
    }
}
