//! Whose objects they are, and how they look. Both roll out one pod in one step of half of the requests, and stay there for 5 s.

use std::path::Path;

use clap::ValueEnum;
use drydock_kwok::ground;
use kube::api::{ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Contender {
    Drydock,
    Argo,
}

impl Contender {
    pub fn user(self) -> &'static str {
        match self {
            Self::Drydock => "drydock",
            Self::Argo => "argo-rollouts",
        }
    }

    pub fn namespace(self) -> &'static str {
        match self {
            Self::Drydock => "scale-drydock",
            Self::Argo => "scale-argo",
        }
    }

    /// Without an election: one alone is measured.
    pub fn arguments(self, kubeconfig: &Path) -> Vec<String> {
        match self {
            Self::Drydock => {
                ["--optimizer-image=optimizer:1", "--sidecar-image=sidecar:1", "--http-port=0", "--leader-elect=false"]
                    .map(ToOwned::to_owned)
                    .to_vec()
            }
            Self::Argo => vec![format!("--kubeconfig={}", kubeconfig.display()), "--leader-elect=false".to_owned()],
        }
    }

    pub fn resource(self) -> ApiResource {
        let (group, version, kind, plural) = match self {
            Self::Drydock => ("drydock.dev", "v1alpha1", "ModelDeployment", "modeldeployments"),
            Self::Argo => ("argoproj.io", "v1alpha1", "Rollout", "rollouts"),
        };
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
    }

    /// The label that names the object on its pods.
    pub fn pod_label(self) -> &'static str {
        match self {
            Self::Drydock => "drydock.dev/name",
            Self::Argo => "rollout",
        }
    }

    pub fn object(self, name: &str, image: &str) -> Value {
        match self {
            Self::Drydock => {
                let mut md = ground::model(name);
                md["spec"]["serving"]["image"] = json!(image);
                md["spec"]["rollout"]["steps"] = json!([{"weight": 50, "holdSeconds": 5}]);
                md["spec"]["rollout"]["scaleDownDelaySeconds"] = json!(30);
                md
            }
            Self::Argo => json!({
                "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": name},
                "spec": {
                    "replicas": 1,
                    "selector": {"matchLabels": {"rollout": name}},
                    "template": {"metadata": {"labels": {"rollout": name}}, "spec": {"containers": [{"name": "c", "image": image}]}},
                    "strategy": {"canary": {"steps": [{"setWeight": 50}, {"pause": {"duration": 5}}]}},
                },
            }),
        }
    }

    /// Whether the object says of its present spec, with this image, that it is served and nothing is under way.
    pub fn is_settled(self, object: &DynamicObject, image: &str) -> bool {
        match self {
            Self::Drydock => {
                let typed =
                    serde_json::to_value(object).and_then(serde_json::from_value::<drydock_crds::ModelDeployment>);
                typed.is_ok_and(|md| md.spec.serving.image.as_deref() == Some(image) && ground::is_settled(&md))
            }
            Self::Argo => {
                let at = |pointer: &str| object.data.pointer(pointer);
                let generation = object.metadata.generation.unwrap_or_default().to_string();
                at("/spec/template/spec/containers/0/image") == Some(&json!(image))
                    && at("/status/observedGeneration") == Some(&json!(generation))
                    && at("/status/phase") == Some(&json!("Healthy"))
            }
        }
    }
}
