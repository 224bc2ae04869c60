//! What the operator was installed with, read off what it has made.

use drydock_crds::ModelDeployment;
use drydock_operator_core::{Defaults, Observed, REVISION_LABEL, resolve};
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::batch::v1::Job;

/// Names and revisions hang on the images: with others, something else would be foretold.
#[derive(Debug, thiserror::Error)]
#[error(
    "the operator's images cannot be seen in what it has made; say them with --optimizer-image and --sidecar-image: {0}"
)]
pub struct UnknownImages(&'static str);

/// Given by hand, where they are.
#[derive(Clone, Debug, Default)]
pub struct Given {
    pub optimizer: Option<String>,
    pub sidecar: Option<String>,
}

/// From the Job of the present work, and from the newest revision of the rollout, of the live object; as far as `next` needs them.
pub fn images(
    live: Option<&ModelDeployment>,
    next: &ModelDeployment,
    observed: &Observed,
    given: &Given,
) -> Result<Defaults, UnknownImages> {
    let optimizer_image = given.optimizer.clone().or_else(|| job_image(live?, observed));
    let optimizer_image =
        optimizer_image.ok_or(UnknownImages("there is no optimization Job to see the first one in"))?;
    let newest = live.and_then(|md| newest(md, observed));
    let text = |field: &str| newest.and_then(|c| c.data.0.get(field)?.as_str().map(str::to_owned));
    // Where a spec names one itself, the operator's is not used, and cannot be seen in what was made of it.
    let named = next.spec.serving.image.clone();
    let seen = || text("image").filter(|_| live.is_some_and(|md| md.spec.serving.image.is_none()));
    let sidecar_image = given.sidecar.clone().or(named).or_else(seen);
    let sidecar_image = sidecar_image.ok_or(UnknownImages("no revision was made with the second one"))?;
    let defaults = Defaults { optimizer_image, sidecar_image, image_pull_policy: text("imagePullPolicy") };
    let task = live.and_then(|md| md.status.as_ref()?.optimization.as_ref()).map(|o| &o.task);
    let resolved = live.and_then(|md| resolve(md, &defaults).ok());
    match (task, resolved) {
        // The Job's name has a hash of all of it: the operator's own word for what it was made of.
        (Some(task), Some(resolved)) if given.optimizer.is_none() && resolved.optimization.hash != *task => {
            Err(UnknownImages(
                "the present optimization Job is not the one that this version would make; are plugin and operator of one version?",
            ))
        }
        _ => Ok(defaults),
    }
}

fn job_image(md: &ModelDeployment, observed: &Observed) -> Option<String> {
    let task = &md.status.as_ref()?.optimization.as_ref()?.task;
    let is_present = |j: &&Job| j.metadata.name.as_ref().is_some_and(|name| name.ends_with(task.as_str()));
    let pod = observed.jobs.iter().find(is_present)?.spec.as_ref()?.template.spec.as_ref()?;
    pod.containers.first()?.image.clone()
}

/// The revision that was made last, of those with a part in the rollout.
fn newest<'a>(md: &ModelDeployment, observed: &'a Observed) -> Option<&'a ControllerRevision> {
    let rollout = md.status.as_ref()?.rollout.as_ref()?;
    let failed = rollout.failed.as_ref().map(|f| &f.revision);
    let parts = [&rollout.stable, &rollout.canary].into_iter().flatten().map(|r| &r.revision);
    let parts: Vec<&String> = parts.chain(failed).collect();
    let has_part = |c: &&ControllerRevision| {
        c.metadata.labels.as_ref().and_then(|l| l.get(REVISION_LABEL)).is_some_and(|r| parts.contains(&r))
    };
    observed.revisions.iter().filter(has_part).max_by_key(|c| c.revision)
}
