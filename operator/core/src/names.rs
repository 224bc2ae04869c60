//! Every name of a child.

use serde_json::Value;

use crate::hash::hash;

pub fn claim(md: &str) -> String {
    format!("{md}-packages")
}

pub fn optimization_job(md: &str, task: &str) -> String {
    format!("{md}-opt-{task}")
}

/// Of one question in one step.
pub fn check_job(md: &str, key: &str) -> String {
    format!("{md}-check-{}", hash(&Value::from(key), 8))
}

/// Of the ControllerRevision, the Deployment and the HorizontalPodAutoscaler of one revision.
pub fn revision(md: &str, revision: &str) -> String {
    format!("{md}-{revision}")
}

pub fn stable_service(md: &str) -> String {
    md.to_owned()
}

pub fn canary_service(md: &str) -> String {
    format!("{md}-canary")
}

pub fn preview_service(md: &str) -> String {
    format!("{md}-preview")
}

pub fn route(md: &str) -> String {
    md.to_owned()
}

pub fn budget(md: &str) -> String {
    md.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The CRD takes 40 characters. Services and labels end at 63; Job pods get `-<index>-<5>` after the name, a ReplicaSet
    /// `-<10>`, and what the API server makes up for its pods it cuts itself.
    #[test]
    fn the_longest_name_still_fits() {
        let md = "m".repeat(40);
        for (name, suffix) in [
            (claim(&md), 0),
            (optimization_job(&md, "01234567"), "-32-01234".len()),
            (check_job(&md, "any"), "-01234".len()),
            (revision(&md, "0123456789"), "-0123456789".len()),
            (stable_service(&md), 0),
            (canary_service(&md), 0),
            (preview_service(&md), 0),
            (route(&md), 0),
            (budget(&md), 0),
        ] {
            assert!(name.len() + suffix <= 63, "{name}");
        }
    }
}
