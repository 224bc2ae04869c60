//! Every field of the spec, from the CRD's own schema: each is given other values, and the children end as those of a fresh
//! object with the same spec. The idea is Acto's (Gu et al., SOSP 2023).

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod simulation;
#[path = "spec_sweep/values.rs"]
mod values;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use drydock_crds::{ModelDeployment, OnNotEnoughEvidence, Router, Strategy};
use drydock_operator_core::{Defaults, resolve};
use proptest::prelude::{ProptestConfig, prop, prop_assert_eq, proptest};
use serde_json::{Value, json};
use simulation::Cluster;
use simulation::fixtures::fashion;
use values::{Change, changes, fields};

/// What the last spec alone decides, what cannot be changed, and what means something else to one that is served already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Follows,
    Immutable,
    OfItsTime,
}

fn kind(field: &str) -> Kind {
    match field {
        // Nothing new begins, and a revision that is named is one of this object's.
        "suspend" | "rollout.control.rollBackTo" => Kind::OfItsTime,
        _ if field.starts_with("artifactStore") => Kind::Immutable,
        _ => Kind::Follows,
    }
}

/// With short times, and steps that pass without evidence: there is little traffic here.
fn base() -> ModelDeployment {
    let mut md = fashion();
    let rollout = &mut md.spec.rollout;
    rollout.steps.iter_mut().for_each(|s| s.hold_seconds = 1);
    rollout.analysis.on_not_enough_evidence = OnNotEnoughEvidence::Promote;
    md
}

fn schema() -> Value {
    let crd: Value = serde_yaml::from_str(&drydock_crds::crd_yaml().unwrap()).unwrap();
    crd.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec").unwrap().clone()
}

fn with(spec: &Value) -> ModelDeployment {
    let mut md = base();
    md.spec = serde_json::from_value(spec.clone()).unwrap_or_else(|error| panic!("{error}: {spec:#}"));
    md
}

fn settled(md: &ModelDeployment) -> Cluster {
    let mut c = Cluster::new(md.clone());
    c.observed.gateway_api = true;
    assert!(c.come_to_rest(400), "a fresh object does not settle: {:?}", c.status());
    c
}

fn change_to(c: &mut Cluster, md: &ModelDeployment) {
    c.edit(|spec| spec.clone_from(&md.spec));
    assert!(c.come_to_rest(400), "it does not settle: {:?}", c.status());
}

#[test]
fn every_field_alone_there_and_back() {
    let (schema, base) = (schema(), base());
    let spec = serde_json::to_value(&base.spec).unwrap();
    let served = settled(&base);
    let before = served.lasting();
    let mut seen = BTreeMap::new();
    for change in changes(&schema, &spec) {
        let md = with(&change.spec);
        let of = format!("{} = {}", change.field, change.value);
        resolve(&md, &Defaults::default()).unwrap_or_else(|errors| panic!("{of}: {errors}"));
        let kind = kind(&change.field);
        let (count, has_effect) = seen.entry(change.field.clone()).or_insert((0, false));
        *count += 1;
        if kind == Kind::Immutable {
            *has_effect |= settled(&md).lasting() != before;
            let rules = schema.pointer("/properties/artifactStore/x-kubernetes-validations").unwrap().to_string();
            assert!(rules.contains("self == oldSelf"), "{of}: the API server takes a change of it");
            continue;
        }
        let mut c = served.clone();
        change_to(&mut c, &md);
        if kind == Kind::Follows {
            let fresh = settled(&md).lasting();
            *has_effect |= fresh != before;
            assert_eq!(c.lasting(), fresh, "{of}: not what a fresh object has");
        }
        change_to(&mut c, &base);
        assert_eq!(c.lasting(), before, "{of}: taken back, and not as it was");
    }
    // A field that is added shows here: with its values, or as one that has none.
    let mut list = String::new();
    for field in fields(&schema) {
        let (count, has_effect) =
            seen.remove(&field).unwrap_or_else(|| panic!("{field} has no values: spec_sweep/values.rs"));
        let effect = if has_effect { "children" } else { "decisions" };
        writeln!(list, "{field}: {count} values, {:?}, {effect}", kind(&field)).unwrap();
    }
    assert!(seen.is_empty(), "not in the schema: {seen:?}");
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("fields_of_the_spec", list);
    });
}

/// Specs one after the other on one object, each of three changed fields.
#[test]
fn several_fields_in_sequences() {
    let (schema, base) = (schema(), base());
    let spec = serde_json::to_value(&base.spec).unwrap();
    let all: Vec<Change> = changes(&schema, &spec).into_iter().filter(|c| kind(&c.field) == Kind::Follows).collect();
    let served = settled(&base);
    let at = 0..all.len();
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) };
    proptest!(config, |(sequence in prop::collection::vec([at.clone(), at.clone(), at], 1..6))| {
        let mut c = served.clone();
        for three in &sequence {
            let Some(md) = merged(&spec, three.map(|i| &all[i])) else { continue };
            change_to(&mut c, &md);
            let of = three.map(|i| format!("{} = {}", all[i].field, all[i].value));
            prop_assert_eq!(c.lasting(), settled(&md).lasting(), "{:?}", of);
        }
    });
}

/// `None` where they do not go together.
fn merged(spec: &Value, changes: [&Change; 3]) -> Option<ModelDeployment> {
    let mut spec = spec.clone();
    for change in changes {
        json_patch::merge(&mut spec, &change.patch());
    }
    let mut md = base();
    md.spec = serde_json::from_value(spec).ok()?;
    // These end in no promotion, and a change of the model beside them waits for one.
    let is_promoted = !matches!(md.spec.rollout.strategy, Strategy::AbTest | Strategy::Shadow)
        && !md.spec.rollout.control.paused
        && md.spec.rollout.analysis.on_not_enough_evidence == OnNotEnoughEvidence::Promote;
    // What the API server refuses.
    let is_beyond_a_gateway = md.spec.rollout.router == Router::Gateway
        && (md.spec.rollout.sticky.is_some() || md.spec.rollout.shadow.is_some() || md.spec.rollout.gateway.is_none());
    let has_pause =
        md.spec.rollout.steps.iter().any(|s| s.pause) || md.spec.rollout.blue_green.as_ref().is_some_and(|b| b.pause);
    (is_promoted && !has_pause && !is_beyond_a_gateway && resolve(&md, &Defaults::default()).is_ok()).then_some(md)
}

/// What the list of fields would leave out without anybody seeing it.
#[test]
fn a_field_without_values_is_found() {
    let mut schema = schema();
    schema["properties"]["serving"]["properties"]["brandNew"] = json!({ "type": "string" });
    let spec = serde_json::to_value(&base().spec).unwrap();
    let found = std::panic::catch_unwind(|| changes(&schema, &spec)).unwrap_err();
    assert!(found.downcast_ref::<String>().unwrap().contains("serving.brandNew"));
}
