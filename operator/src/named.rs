//! What the watches are told of an object: whose it is, and that it has changed.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::marker::PhantomData;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Resource;
use serde::{Deserialize, Deserializer};

/// An object of kind `K`, of which the API server is asked for the metadata alone, and of that nothing else is kept. `managedFields`, most of it,
/// would be a tree of ten times its size in memory: with kube's `PartialObjectMeta` the first lists of 200 ModelDeployments' children left 35 MB of heap.
#[derive(Debug)]
pub struct Named<K> {
    metadata: ObjectMeta,
    of: PhantomData<fn() -> K>,
}

impl<K> Clone for Named<K> {
    fn clone(&self) -> Self {
        Self { metadata: self.metadata.clone(), of: PhantomData }
    }
}

#[derive(Deserialize)]
struct Wire {
    #[serde(default)]
    metadata: Kept,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
    labels: Option<BTreeMap<String, String>>,
    owner_references: Option<Vec<OwnerReference>>,
}

impl<'de, K> Deserialize<'de> for Named<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Kept { name, namespace, uid, resource_version, generation, labels, owner_references } =
            Wire::deserialize(deserializer)?.metadata;
        let metadata = ObjectMeta {
            name,
            namespace,
            uid,
            resource_version,
            generation,
            labels,
            owner_references,
            ..ObjectMeta::default()
        };
        Ok(Self { metadata, of: PhantomData })
    }
}

impl<K: Resource> Resource for Named<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn metadata_api() -> bool {
        true
    }

    fn kind(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::kind(dt)
    }

    fn group(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::group(dt)
    }

    fn version(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::version(dt)
    }

    fn plural(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::plural(dt)
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use kube::ResourceExt as _;
    use serde_json::json;

    use super::*;

    #[test]
    fn whose_it_is_and_what_has_changed() {
        let named: Named<Pod> = serde_json::from_value(json!({
            "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
            "metadata": {
                "name": "p", "namespace": "n", "uid": "u", "resourceVersion": "7", "generation": 2,
                "labels": {"drydock.dev/name": "m"}, "annotations": {"much": "text"},
                "ownerReferences": [{"apiVersion": "v1", "kind": "ReplicaSet", "name": "r", "uid": "v", "controller": true}],
                "managedFields": [{"manager": "drydock", "fieldsV1": {"f:spec": {}}}],
            },
            "spec": {"nodeName": "one"},
        }))
        .unwrap();
        let meta = named.meta();
        assert_eq!(
            (named.name_any().as_str(), named.namespace().as_deref(), meta.uid.as_deref()),
            ("p", Some("n"), Some("u"))
        );
        assert_eq!((meta.resource_version.as_deref(), meta.generation), (Some("7"), Some(2)));
        assert_eq!(named.labels()["drydock.dev/name"], "m");
        assert_eq!(named.owner_references()[0].name, "r");
        assert!(named.managed_fields().is_empty() && named.annotations().is_empty());
        assert!(Named::<Pod>::metadata_api() && Named::<Pod>::kind(&()) == "Pod");
    }
}
