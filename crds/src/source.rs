use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Where a file is: exactly one of `https`, `pvc` and `oci`.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.https), has(self.pvc), has(self.oci)].filter(x, x).size() == 1")
    .message("set exactly one of https, pvc and oci"))]
#[x_kube(validation = Rule::new("!has(self.https) || self.https.url.startsWith('https://') || has(self.sha256)")
    .message("a plain http:// url needs sha256 beside it, so that what arrives can be checked; or use https://"))]
pub struct Source {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub https: Option<UrlSource>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pvc: Option<VolumeSource>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oci: Option<ImageSource>,
    /// SHA-256 of the file, 64 hexadecimal digits, with or without `sha256:` before them. Another file is refused, and so is a
    /// file that needs others beside it (weights of a model, images of a CSV), which this does not cover: leave `sha256` out,
    /// save a model as one file, or name the directory of a data set: its digest is that of what `sha256sum` prints for all of
    /// its files, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^(sha256:)?[0-9a-fA-F]{64}$"))]
    pub sha256: Option<String>,
}

/// A file behind a URL.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UrlSource {
    #[schemars(length(max = 2048), regex(pattern = "^https?://[^/?#]+.*$"))]
    pub url: String,
}

/// A file in a PersistentVolumeClaim of the same namespace.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeSource {
    #[schemars(length(min = 1, max = 253))]
    pub claim_name: String,
    /// The file, or the directory of a data set, relative to the volume's root.
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = Rule::new("!self.startsWith('/') && !self.split('/').exists(p, p == '..')")
        .message("path is relative to the root of the volume: no leading '/' and no '..'"))]
    pub path: String,
}

/// A file in an OCI image or artifact, mounted as a Kubernetes image volume.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageSource {
    /// As in a container's `image`; pin a digest to be sure of the content.
    #[schemars(length(min = 1, max = 1024))]
    pub image: String,
    /// The file, or the directory of a data set, relative to the image's root.
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = Rule::new("!self.startsWith('/') && !self.split('/').exists(p, p == '..')")
        .message("path is relative to the root of the image: no leading '/' and no '..'"))]
    pub path: String,
}
