use kube::CustomResourceExt as _;

use crate::ModelDeployment;

/// File name of the generated manifest.
pub const CRD_FILE: &str = "drydock.dev_modeldeployments.yaml";

/// The CustomResourceDefinition as YAML, as it stands in `crds/yaml` and in the chart.
///
/// # Errors
/// None in practice: the schema is plain data.
pub fn crd_yaml() -> Result<String, Box<dyn std::error::Error>> {
    // Through a JSON value: k8s types serialize themselves by hand, and the value's maps give one order of keys.
    let crd = serde_json::to_value(ModelDeployment::crd())?;
    let yaml = serde_yaml::to_string(&crd)?;
    Ok(format!("# Generated from the types in crds/src by `make gen`; do not edit.\n{yaml}"))
}
