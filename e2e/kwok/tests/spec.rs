//! Every field of the spec, at the API server (`e2e/kwok/run.sh spec`): the values that operator/core/tests/spec_sweep.rs holds against
//! the planner are taken, and values that the schema rules out are refused with the field's name.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

#[allow(dead_code, reason = "other fixtures are for the planner's tests")]
#[path = "../../../operator/core/tests/simulation/fixtures.rs"]
mod fixtures;
#[path = "spec/invalid.rs"]
mod invalid;
#[allow(dead_code, reason = "sequences of changes are for the planner's tests")]
#[path = "../../../operator/core/tests/spec_sweep/values.rs"]
mod values;

use anyhow::Result;
use drydock_crds::{ArtifactStore, ModelDeployment, ModelDeploymentSpec};
use drydock_kwok::ground;
use kube::Api;
use kube::api::{DynamicObject, Patch, PatchParams, ValidationDirective};
use serde_json::{Value, json};

/// That of the fixture: a rule asks for it.
const NAME: &str = "fashion";

fn schema() -> Value {
    let crd: Value = serde_yaml::from_str(&drydock_crds::crd_yaml().unwrap()).unwrap();
    crd.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec").unwrap().clone()
}

struct Server(Api<DynamicObject>);

impl Server {
    /// What it says of an object with this spec; nothing of it stays.
    async fn says(&self, spec: &Value) -> Result<(), String> {
        let object = object(spec);
        let params = PatchParams {
            field_validation: Some(ValidationDirective::Strict),
            dry_run: true,
            ..PatchParams::apply(ground::MANAGER).force()
        };
        self.0.patch(NAME, &params, &Patch::Apply(object)).await.map(|_| ()).map_err(|error| match error {
            kube::Error::Api(status) => status.message,
            error => format!("no answer: {error}"),
        })
    }
}

fn object(spec: &Value) -> Value {
    json!({"apiVersion": "drydock.dev/v1alpha1", "kind": "ModelDeployment", "metadata": {"name": NAME}, "spec": spec})
}

/// With the defaults that the API server fills in.
fn store(spec: &Value) -> Result<ArtifactStore> {
    Ok(serde_json::from_value::<ModelDeploymentSpec>(spec.clone())?.artifact_store)
}

#[tokio::test]
async fn every_field_is_taken_and_refused_by_its_name() -> Result<()> {
    let client = ground::client().await?;
    let space = format!("spec-{:x}", std::time::UNIX_EPOCH.elapsed()?.as_millis());
    let resource = kube::api::ApiResource::erase::<ModelDeployment>(&());
    let [fresh, there] = ["fresh", "there"].map(|of| format!("{space}-{of}"));
    for namespace in [&fresh, &there] {
        ground::namespace(&client, namespace).await?;
    }
    let fresh = Server(Api::namespaced_with(client.clone(), &fresh, &resource));
    let there = Server(Api::namespaced_with(client.clone(), &there, &resource));

    let (schema, base) = (schema(), serde_json::to_value(&fixtures::fashion().spec)?);
    // One that is there, so that rules about changes are asked too. No operator: nothing comes of it.
    there.0.patch(NAME, &PatchParams::apply(ground::MANAGER).force(), &Patch::Apply(object(&base))).await?;

    let (mut taken, mut refused, mut wrong) = (0, 0, Vec::new());
    let changes = values::changes(&schema, &base);
    for change in &changes {
        let of = format!("{} = {}", change.field, change.value);
        match fresh.says(&change.spec).await {
            Ok(()) => taken += 1,
            Err(message) => wrong.push(format!("{of}: refused for a fresh object: {message}")),
        }
        let immutable = store(&change.spec)? != store(&base)?;
        match (immutable, there.says(&change.spec).await) {
            (false, Ok(())) => taken += 1,
            (true, Err(message)) if message.contains("artifactStore") => refused += 1,
            (_, answer) => wrong.push(format!("{of}: as a change: {answer:?}")),
        }
    }
    let mut fields = std::collections::BTreeSet::new();
    for case in invalid::cases(&schema, &changes) {
        fields.insert(case.field.clone());
        let of = format!("{} {}", case.field, case.what);
        match fresh.says(&case.spec).await {
            Err(message) if case.is_named_in(&message) => refused += 1,
            answer => wrong.push(format!("{of}: {answer:?}")),
        }
    }
    let all = values::fields(&schema).len();
    println!("{taken} taken, {refused} refused by name, {} of {all} fields with a value that is refused", fields.len());
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    Ok(())
}
