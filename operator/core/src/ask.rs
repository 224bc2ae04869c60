use drydock_crds::ModelDeploymentStatus;
use k8s_openapi::api::core::v1::Pod;

use crate::labels::{REVISION, label};
use crate::pod_state::is_ready;

/// A pod whose admin port tells what it has seen of the canary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodToAsk {
    pub name: String,
    pub ip: String,
}

/// The stable pods that are ready, while there is a canary; nobody otherwise. `pods` are those of one ModelDeployment.
pub fn pods_to_ask(status: Option<&ModelDeploymentStatus>, pods: &[Pod]) -> Vec<PodToAsk> {
    let Some(rollout) = status.and_then(|s| s.rollout.as_ref()).filter(|r| r.canary.is_some()) else {
        return Vec::new();
    };
    let Some(stable) = &rollout.stable else { return Vec::new() };
    pods.iter()
        .filter(|p| label(&p.metadata, REVISION) == Some(stable.revision.as_str()))
        .filter(|p| p.metadata.deletion_timestamp.is_none() && is_ready(p))
        .filter_map(|p| {
            let ip = p.status.as_ref()?.pod_ip.clone().filter(|ip| !ip.is_empty())?;
            Some(PodToAsk { name: p.metadata.name.clone()?, ip })
        })
        .collect()
}
