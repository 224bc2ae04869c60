use drydock_crds::{ModelDeployment, ModelDeploymentStatus};
use drydock_operator_core::{SpecError, SpecErrors};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource as _;
use kube::api::DynamicObject;

/// A ModelDeployment as it was found. A spec that cannot be parsed (the CRD is newer than this operator, say) is one more
/// way to be invalid: the status, which is the memory, is read apart from it and stays.
#[derive(Debug)]
pub struct Seen {
    pub metadata: ObjectMeta,
    pub status: Option<ModelDeploymentStatus>,
    pub md: Result<ModelDeployment, SpecErrors>,
}

impl Seen {
    /// Fails on a status that cannot be parsed: to go on without the memory would be to start again.
    pub fn read(object: DynamicObject) -> Result<Self, serde_json::Error> {
        let status = object.data.get("status").filter(|s| !s.is_null()).cloned().map(serde_json::from_value);
        let metadata = object.metadata.clone();
        let md = serde_json::to_value(object).and_then(serde_json::from_value::<ModelDeployment>);
        let md = md.map_err(|error| {
            let message = format!("this version of the operator cannot read it: {error}");
            SpecErrors(vec![SpecError { field: "spec".to_owned(), message }])
        });
        Ok(Self { metadata, status: status.transpose()?, md })
    }

    pub fn generation(&self) -> i64 {
        self.metadata.generation.unwrap_or_default()
    }

    pub fn reference(&self) -> ObjectReference {
        ObjectReference {
            api_version: Some(ModelDeployment::api_version(&()).into_owned()),
            kind: Some(ModelDeployment::kind(&()).into_owned()),
            name: self.metadata.name.clone(),
            namespace: self.metadata.namespace.clone(),
            uid: self.metadata.uid.clone(),
            ..ObjectReference::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use drydock_crds::Phase;
    use serde_json::{Value, json};

    use super::*;

    fn object(spec: &Value, status: &Value) -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "drydock.dev/v1alpha1",
            "kind": "ModelDeployment",
            "metadata": { "name": "m", "namespace": "ns", "generation": 3 },
            "spec": spec,
            "status": status,
        }))
        .unwrap()
    }

    fn source() -> Value {
        json!({ "model": { "source": { "pvc": { "claimName": "c", "path": "m.onnx" } } } })
    }

    #[test]
    fn a_spec_of_another_version_is_invalid_and_the_memory_stays() {
        let mut spec = source();
        spec["optimization"] = json!({ "objective": "Happiness" });
        let seen = Seen::read(object(&spec, &json!({ "phase": "Serving" }))).unwrap();
        assert_eq!(seen.status.unwrap().phase, Phase::Serving);
        let error = seen.md.unwrap_err().to_string();
        assert!(error.contains("Happiness"), "{error}");
    }

    #[test]
    fn a_status_of_another_version_is_not_overwritten() {
        assert!(Seen::read(object(&source(), &json!({ "phase": "Dreaming" }))).is_err());
    }

    #[test]
    fn no_status_yet() {
        let seen = Seen::read(object(&source(), &Value::Null)).unwrap();
        assert!(seen.status.is_none() && seen.md.is_ok());
        assert_eq!((seen.metadata.generation, seen.reference().name.as_deref()), (Some(3), Some("m")));
    }
}
