//! What is generated and committed is what the types say today.

use std::path::Path;

use kube::CustomResourceExt as _;

#[test]
fn committed_files_are_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (file, expected) in drydock_crds::generated().unwrap() {
        let found = std::fs::read_to_string(root.join(&file)).unwrap_or_else(|e| panic!("{file}: {e}"));
        assert!(found == expected, "{file} differs from the types in crds: run `make gen`");
    }
}

/// `kubectl apply` keeps the whole object in an annotation of at most 256 KiB; stay well under it.
#[test]
fn small_enough_for_client_side_apply() {
    assert!(drydock_crds::crd_yaml().unwrap().len() < 200_000);
}

/// kstatus and server-side apply by several managers need conditions to be a map by type.
#[test]
fn conditions_are_a_map_by_type() {
    let crd = serde_json::to_value(drydock_crds::ModelDeployment::crd()).unwrap();
    let conditions = crd
        .pointer("/spec/versions/0/schema/openAPIV3Schema/properties/status/properties/conditions")
        .expect("status.conditions");
    assert_eq!(conditions["x-kubernetes-list-type"], "map");
    assert_eq!(conditions["x-kubernetes-list-map-keys"][0], "type");
}

/// Defaults live in the schema, so that the stored object says what is in force.
#[test]
fn defaults_are_in_the_schema() {
    let crd = serde_json::to_value(drydock_crds::ModelDeployment::crd()).unwrap();
    let spec = crd.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties").expect("spec");
    for (pointer, value) in [
        ("/suspend/default", serde_json::json!(false)),
        ("/rollout/properties/progressDeadlineSeconds/default", serde_json::json!(600)),
        ("/optimization/properties/whenNoCandidatePasses/default", serde_json::json!("KeepCurrent")),
        ("/optimization/properties/gates/properties/maxAccuracyDrop/default", serde_json::json!(1.0)),
        ("/artifactStore/properties/size/default", serde_json::json!("1Gi")),
    ] {
        assert_eq!(spec.pointer(pointer), Some(&value), "{pointer}");
    }
}
