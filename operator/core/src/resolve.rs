mod external;
mod overlay;
mod source;

use std::collections::BTreeMap;
use std::fmt;

use drydock_contract::{Dataset, Limits, Search, Task};
use drydock_crds::{
    Amount, ArtifactStore, Gates, Model, ModelDeployment, ModelDeploymentSpec, Optimization, ParentKind, Resources,
    Rollout, Router, Serving, Source,
};
use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde_json::json;

use crate::hash::hash;
use crate::quantity;
use crate::resolved::{Defaults, Mount, OptimizationWork, Replicas, Resolved, SelectionRules, ServingWish};
use crate::revision::BatchingTemplate;
use crate::rollout;

/// Everything that is wrong with a spec, not only the first thing.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
pub struct SpecErrors(pub Vec<SpecError>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecError {
    /// `spec.serving.podTemplate.spec.containers`.
    pub field: String,
    pub message: String,
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

impl fmt::Display for SpecErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("; ")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl SpecErrors {
    fn add(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.0.push(SpecError { field: field.into(), message: message.into() });
    }
}

/// Linux takes 128 KiB for one variable of the environment; the name and the end need some.
const TASK_LIMIT: usize = 120 * 1024;
/// Where the optimizer has the store.
const STORE: &str = "/store";

/// Parses a ModelDeployment: what comes out can be planned for, whatever the cluster looks like.
///
/// # Errors
/// Everything that the API server's own checks have let through and that cannot be turned into children.
pub fn resolve(md: &ModelDeployment, defaults: &Defaults) -> Result<Resolved, SpecErrors> {
    let mut errors = SpecErrors::default();
    let resolved = read(&mut errors, &md.metadata, &md.spec, defaults);
    if errors.0.is_empty() { Ok(resolved) } else { Err(errors) }
}

/// What [`crate::guard`] needs of a ModelDeployment whose spec cannot be worked with: who it is, and how many pods it asks for.
/// `spec` is `None` where it cannot even be parsed.
pub fn keep(metadata: &ObjectMeta, spec: Option<&ModelDeploymentSpec>, defaults: &Defaults) -> Resolved {
    let mut ignored = SpecErrors::default();
    let Some(spec) = spec else {
        let mut kept = read(&mut ignored, metadata, &unknown(), defaults);
        kept.serving.replicas = Replicas::Unknown;
        return kept;
    };
    read(&mut ignored, metadata, spec, defaults)
}

fn unknown() -> ModelDeploymentSpec {
    ModelDeploymentSpec {
        suspend: false,
        model: Model { source: Source::default(), preprocessing: None, labels: Vec::new(), detection: None },
        optimization: None,
        serving: Serving::default(),
        rollout: Rollout::default(),
        artifact_store: ArtifactStore::default(),
    }
}

/// With a placeholder in the place of everything that is wrong.
fn read(errors: &mut SpecErrors, metadata: &ObjectMeta, spec: &ModelDeploymentSpec, defaults: &Defaults) -> Resolved {
    let name = required(errors, "metadata.name", metadata.name.as_ref());
    let namespace = required(errors, "metadata.namespace", metadata.namespace.as_ref());
    let uid = required(errors, "metadata.uid", metadata.uid.as_ref());
    check_amount(errors, "spec.artifactStore.size", &spec.artifact_store.size);

    let optimization = spec.optimization.clone().unwrap_or_default();
    if let Some(amount) = &optimization.gates.max_memory {
        check_amount(errors, "spec.optimization.gates.maxMemory", amount);
    }
    let selection = SelectionRules {
        limits: limits(&optimization.gates),
        objective: optimization.objective,
        fallback: optimization.when_no_candidate_passes,
    };
    let optimization = work(errors, &spec.model, &optimization, &selection, defaults);
    let serving = serving(errors, &spec.serving, defaults);
    check_gateway(errors, &spec.rollout);
    external::check(errors, &spec.rollout.analysis);

    Resolved {
        owner: OwnerReference {
            api_version: "drydock.dev/v1alpha1".to_owned(),
            kind: "ModelDeployment".to_owned(),
            name: name.clone(),
            uid,
            controller: Some(true),
            block_owner_deletion: None,
        },
        name,
        namespace,
        suspend: spec.suspend,
        optimization,
        selection,
        serving,
        course: rollout::course(&spec.rollout),
        rollout: spec.rollout.clone(),
        store: spec.artifact_store.clone(),
    }
}

fn required(errors: &mut SpecErrors, field: &str, value: Option<&String>) -> String {
    if value.is_none() {
        errors.add(field, "is missing; the API server sets it");
    }
    value.cloned().unwrap_or_default()
}

fn limits(gates: &Gates) -> Limits {
    Limits {
        max_accuracy_drop: gates.max_accuracy_drop,
        min_speedup: gates.min_speedup,
        max_latency_milliseconds: gates.max_latency_milliseconds,
        max_size_ratio: gates.max_size_ratio,
        max_memory_bytes: gates.max_memory.as_ref().and_then(|a| quantity::value(&a.0)),
    }
}

fn work(
    errors: &mut SpecErrors,
    model: &Model,
    o: &Optimization,
    selection: &SelectionRules,
    defaults: &Defaults,
) -> OptimizationWork {
    let mut mounts = BTreeMap::new();
    let mut read = |errors: &mut SpecErrors, field: &str, name: &str, source| {
        let (input, mount) = source::input(errors, field, name, source);
        if let Some(mount) = mount {
            mounts.insert(name.to_owned(), mount);
        }
        input
    };
    let input = read(errors, "spec.model.source", "model", &model.source);
    let further = o.models.iter().enumerate().map(|(i, m)| {
        let field = format!("spec.optimization.models[{i}].source");
        (m.name.clone(), read(errors, &field, &format!("model-{}", m.name), &m.source))
    });
    let models: BTreeMap<_, _> = further.collect();
    for (i, recipe) in o.recipes.iter().enumerate() {
        if let Some(name) = recipe.models().find(|name| !models.contains_key(*name)) {
            errors.add(
                format!("spec.optimization.recipes[{i}]"),
                format!("names the model {name:?}, which models does not have"),
            );
        }
    }
    let dataset = o.dataset.as_ref().map(|d| Dataset {
        calibration: read(errors, "spec.optimization.dataset.calibration", "calibration", &d.calibration),
        evaluation: read(errors, "spec.optimization.dataset.evaluation", "evaluation", &d.evaluation),
        training: (d.training.as_ref()).map(|t| read(errors, "spec.optimization.dataset.training", "training", t)),
    });
    if dataset.is_none() && (!o.recipes.is_empty() || o.search.is_some()) {
        errors.add("spec.optimization.dataset", "is missing; recipes and search need it");
    }
    let search = o.search.as_ref().map(|s| Search {
        time_budget_seconds: s.time_budget_seconds,
        max_candidates: s.max_candidates,
        limits: selection.limits.clone(),
        objective: selection.objective,
    });
    let task = Task {
        model: input,
        preprocessing: model.preprocessing.clone().unwrap_or_else(no_preprocessing),
        labels: model.labels.clone(),
        detection: model.detection.clone(),
        dataset,
        recipes: o.recipes.clone(),
        models,
        target: o.target,
        search,
        store: STORE.to_owned(),
    };
    let json = serde_json::to_value(&task).unwrap_or_default();
    let task_json = json.to_string();
    if task_json.len() > TASK_LIMIT {
        errors.add(
            "spec.model.labels",
            format!(
                "the task for the optimizer is {} bytes long, the limit is {TASK_LIMIT}: shorten labels",
                task_json.len()
            ),
        );
    }
    let resources =
        o.resources.as_ref().map_or_else(default_resources, |r| requirements(errors, "spec.optimization.resources", r));
    let image = defaults.optimizer_image.clone();
    let sources: BTreeMap<&String, String> = mounts.iter().map(|(name, mount)| (name, mount.to_string())).collect();
    let hash = hash(
        &json!({ "task": json, "sources": sources, "image": image, "resources": resources, "deadline": o.deadline_seconds }),
        8,
    );
    OptimizationWork {
        hash,
        task,
        task_json,
        mounts,
        image,
        image_pull_policy: defaults.image_pull_policy.clone(),
        resources,
        deadline_seconds: o.deadline_seconds + o.search.as_ref().map_or(0, |s| i64::from(s.time_budget_seconds)),
    }
}

/// `Preprocessing::default()` multiplies by 0; what the schema's defaults say is "as it is".
fn no_preprocessing() -> drydock_contract::Preprocessing {
    drydock_contract::Preprocessing { scale: 1.0, ..drydock_contract::Preprocessing::default() }
}

impl fmt::Display for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Claim(name) => write!(f, "pvc {name}"),
            Self::Image(reference) => write!(f, "oci {reference}"),
        }
    }
}

fn serving(errors: &mut SpecErrors, s: &Serving, defaults: &Defaults) -> ServingWish {
    let replicas = match (&s.autoscaling, s.replicas) {
        (Some(_), Some(_)) => {
            errors.add("spec.serving", "set replicas or autoscaling, not both");
            Replicas::Unknown
        }
        (Some(autoscaling), None) => Replicas::Automatic(autoscaling.clone()),
        (None, replicas) => Replicas::Fixed(replicas.unwrap_or(1).max(0)),
    };
    ServingWish {
        replicas,
        image: s.image.clone().unwrap_or_else(|| defaults.sidecar_image.clone()),
        image_pull_policy: defaults.image_pull_policy.clone(),
        resources: s.resources.as_ref().map(|r| requirements(errors, "spec.serving.resources", r)),
        batching: s
            .batching
            .as_ref()
            .map(|b| BatchingTemplate { max_size: b.max_size, max_delay_milliseconds: b.max_delay_milliseconds }),
        overlay: s.pod_template.as_ref().and_then(|t| overlay::overlay(errors, t)),
    }
}

/// What the schema cannot say, `namespace` being a word of CEL.
fn check_gateway(errors: &mut SpecErrors, rollout: &Rollout) {
    let gateway = rollout.gateway.clone().unwrap_or_default();
    let parents = [("http", gateway.http), ("grpc", gateway.grpc)];
    if rollout.router == Router::Gateway && parents.iter().all(|(_, p)| p.is_none()) {
        errors.add("spec.rollout.gateway", "is missing: router Gateway takes http, grpc or both");
    }
    for (protocol, parents) in parents {
        for (i, parent) in parents.iter().flat_map(|p| &p.parent_refs).enumerate() {
            if parent.kind == ParentKind::Service && parent.namespace.is_some() {
                errors.add(
                    format!("spec.rollout.gateway.{protocol}.parentRefs[{i}].namespace"),
                    "a parent of kind Service is the ModelDeployment's own, in its namespace: take it out",
                );
            }
        }
    }
}

fn default_resources() -> ResourceRequirements {
    let quantities =
        |list: &[(&str, &str)]| list.iter().map(|(k, v)| ((*k).to_owned(), Quantity((*v).to_owned()))).collect();
    ResourceRequirements {
        requests: Some(quantities(&[("cpu", "500m"), ("memory", "512Mi")])),
        limits: Some(quantities(&[("memory", "2Gi")])),
        ..ResourceRequirements::default()
    }
}

fn requirements(errors: &mut SpecErrors, field: &str, r: &Resources) -> ResourceRequirements {
    let mut read = |kind: &str, amounts: &BTreeMap<String, Amount>| {
        for (resource, amount) in amounts {
            check_amount(errors, &format!("{field}.{kind}.{resource}"), amount);
        }
        (!amounts.is_empty()).then(|| amounts.iter().map(|(k, v)| (k.clone(), v.clone().into())).collect())
    };
    let requests = read("requests", &r.requests);
    let limits = read("limits", &r.limits);
    for (resource, request) in &r.requests {
        if let Some(limit) = r.limits.get(resource)
            && quantity::value(&request.0) > quantity::value(&limit.0)
        {
            errors
                .add(format!("{field}.requests.{resource}"), format!("{} is over the limit of {}", request.0, limit.0));
        }
    }
    ResourceRequirements { requests, limits, ..ResourceRequirements::default() }
}

fn check_amount(errors: &mut SpecErrors, field: &str, amount: &Amount) {
    match quantity::value(&amount.0) {
        Some(value) if value >= 0.0 => {}
        _ => errors.add(field, format!("found {:?}; expected a quantity such as 500m or 2Gi", amount.0)),
    }
}
