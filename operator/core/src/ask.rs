use drydock_contract::SPLIT_ANNOTATION;
use drydock_crds::ModelDeploymentStatus;
use k8s_openapi::api::core::v1::Pod;

use crate::labels::annotation;
use crate::pod_state::{is_ready, of_revision};

/// A pod whose admin port tells what it has seen of the canary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodToAsk {
    pub name: String,
    pub ip: String,
}

/// The stable pods of the ModelDeployment `md` that are ready, while there is a canary, and those of the canary that were told to count
/// what they answer; nobody otherwise.
pub fn pods_to_ask(md: &str, status: Option<&ModelDeploymentStatus>, pods: &[Pod]) -> Vec<PodToAsk> {
    let Some(rollout) = status.and_then(|s| s.rollout.as_ref()).filter(|r| r.canary.is_some()) else {
        return Vec::new();
    };
    let Some(stable) = &rollout.stable else { return Vec::new() };
    let canary = rollout.canary.iter().flat_map(|c| of_revision(pods, md, &c.revision));
    let counts = canary.filter(|p| annotation(&p.metadata, SPLIT_ANNOTATION).is_some());
    of_revision(pods, md, &stable.revision)
        .into_iter()
        .chain(counts)
        .filter(|p| is_ready(p))
        .filter_map(|p| {
            let ip = p.status.as_ref()?.pod_ip.clone().filter(|ip| !ip.is_empty())?;
            Some(PodToAsk { name: p.metadata.name.clone()?, ip })
        })
        .collect()
}
