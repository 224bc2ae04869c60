//! Every name of a child.

pub fn claim(md: &str) -> String {
    format!("{md}-packages")
}

pub fn optimization_job(md: &str, task: &str) -> String {
    format!("{md}-opt-{task}")
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

pub fn budget(md: &str) -> String {
    md.to_owned()
}

#[cfg(test)]
mod tests {
    /// Job pods get `-<index>-<5>` after the name and Deployments `-<10>-<5>`; labels and host names end at 63.
    #[test]
    fn the_longest_name_still_fits() {
        let md = "m".repeat(40);
        assert!(super::optimization_job(&md, "01234567").len() <= 63 - 3);
        assert!(super::revision(&md, "0123456789").len() <= 63);
        assert!(super::canary_service(&md).len() <= 63);
    }
}
