use drydock_crds::{Analysis, ExternalMetric};

use super::{SpecErrors, requirements};
use crate::external::unknown;

/// What the schema cannot say of the sources: the words in braces, and amounts.
pub fn check(errors: &mut SpecErrors, analysis: &Analysis) {
    for (i, of) in analysis.external.iter().enumerate() {
        let at = format!("spec.rollout.analysis.external[{i}]");
        for (field, text) in texts(of) {
            if let Some(message) = unknown(text) {
                errors.add(format!("{at}.{field}"), message);
            }
        }
        if let Some(resources) = of.job.as_ref().and_then(|j| j.resources.as_ref()) {
            requirements(errors, &format!("{at}.job.resources"), resources);
        }
    }
}

fn texts(of: &ExternalMetric) -> Vec<(String, &str)> {
    let mut all = Vec::new();
    if let Some(p) = &of.prometheus {
        all.push(("prometheus.address".to_owned(), p.address.as_str()));
        all.push(("prometheus.query".to_owned(), p.query.as_str()));
    }
    if let Some(hook) = &of.web_hook {
        all.push(("webHook.url".to_owned(), hook.url.as_str()));
        all.extend(hook.metadata.iter().map(|(k, v)| (format!("webHook.metadata.{k}"), v.as_str())));
    }
    if let Some(job) = &of.job {
        all.extend(job.command.iter().enumerate().map(|(i, text)| (format!("job.command[{i}]"), text.as_str())));
        all.extend(job.args.iter().enumerate().map(|(i, text)| (format!("job.args[{i}]"), text.as_str())));
    }
    all
}
