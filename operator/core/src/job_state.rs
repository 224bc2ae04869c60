use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobCondition};

/// Complete or Failed: nothing more will run.
pub fn is_finished(job: &Job) -> bool {
    condition(job, "Complete").is_some() || failure(job).is_some()
}

/// Why the Job as a whole failed.
pub fn failure(job: &Job) -> Option<&JobCondition> {
    condition(job, "Failed")
}

/// When it was Complete or Failed.
pub fn ended_at(job: &Job) -> Option<Timestamp> {
    let end = condition(job, "Complete").or_else(|| failure(job))?;
    end.last_transition_time.as_ref().map(|t| t.0)
}

fn condition<'a>(job: &'a Job, type_: &str) -> Option<&'a JobCondition> {
    let conditions = job.status.as_ref()?.conditions.as_deref()?;
    conditions.iter().find(|c| c.type_ == type_ && c.status == "True")
}

/// Indexes whose pod has succeeded.
pub fn completed(job: &Job) -> BTreeSet<usize> {
    indexes(job.status.as_ref().and_then(|s| s.completed_indexes.as_deref()))
}

/// Indexes that are not tried again.
pub fn failed(job: &Job) -> BTreeSet<usize> {
    indexes(job.status.as_ref().and_then(|s| s.failed_indexes.as_deref()))
}

/// No Job has more than 34 indexes: the list of recipes ends at 32.
const MANY: usize = 1000;

/// `0,2-4` is 0, 2, 3 and 4.
fn indexes(text: Option<&str>) -> BTreeSet<usize> {
    let mut set = BTreeSet::new();
    for part in text.unwrap_or_default().split(',') {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(from), Ok(to)) = (from.trim().parse::<usize>(), to.trim().parse::<usize>()) {
            set.extend(from..=to.min(MANY));
        }
    }
    set
}

#[cfg(test)]
mod tests {
    #[test]
    fn index_lists() {
        for (text, expected) in
            [("", vec![]), ("0", vec![0]), ("0,2-4", vec![0, 2, 3, 4]), ("3-1", vec![]), ("x,1", vec![1])]
        {
            assert_eq!(super::indexes(Some(text)).into_iter().collect::<Vec<_>>(), expected, "{text:?}");
        }
        assert!(super::indexes(None).is_empty());
    }
}
