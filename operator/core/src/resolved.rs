/// What the operator was installed with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Defaults {
    pub optimizer_image: String,
    pub sidecar_image: String,
    pub image_pull_policy: Option<String>,
}

/// A ModelDeployment that can be worked with.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    pub name: String,
    pub namespace: String,
}
