use drydock_contract::PackageManifest;
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

/// The JSON Schema of a package's `package.json`, as a reader must take it.
///
/// # Errors
/// None in practice: the schema is plain data.
pub fn package_schema() -> Result<String, Box<dyn std::error::Error>> {
    let schema = schemars::schema_for!(PackageManifest);
    Ok(serde_json::to_string_pretty(&schema)? + "\n")
}

/// All that is generated from the types: file, from the root of the repository, and content.
///
/// # Errors
/// None in practice: schemas are plain data.
pub fn generated() -> Result<[(String, String); 3], Box<dyn std::error::Error>> {
    let crd = crd_yaml()?;
    Ok([
        (format!("crds/yaml/{CRD_FILE}"), crd.clone()),
        (format!("charts/drydock/crds/{CRD_FILE}"), crd),
        ("docs/package.schema.json".into(), package_schema()?),
    ])
}
