use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Amount;

/// The PersistentVolumeClaim that the model packages are kept in: the optimizer writes it, the serving pods read it.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArtifactStore {
    #[serde(default = "default_size")]
    pub size: Amount,
    /// Default: the cluster's default storage class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub storage_class_name: Option<String>,
    /// `ReadWriteMany` lets serving pods run on any node; `ReadWriteOnce` keeps them on the node of the volume.
    #[serde(default)]
    pub access_mode: AccessMode,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AccessMode {
    #[default]
    ReadWriteOnce,
    ReadWriteMany,
}

impl AccessMode {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReadWriteOnce => "ReadWriteOnce",
            Self::ReadWriteMany => "ReadWriteMany",
        }
    }
}

fn default_size() -> Amount {
    Amount("1Gi".into())
}

impl Default for ArtifactStore {
    fn default() -> Self {
        Self { size: default_size(), storage_class_name: None, access_mode: AccessMode::default() }
    }
}
