use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements};

use super::metadata;
use crate::labels::{Component, labels};
use crate::{Resolved, names};

/// The volume that the packages are kept in.
///
/// One that exists keeps its spec: it cannot change, but for the size, and that only upwards and maybe by somebody else.
pub fn claim(r: &Resolved, existing: Option<&PersistentVolumeClaim>) -> PersistentVolumeClaim {
    let spec = existing.and_then(|c| c.spec.clone()).unwrap_or_else(|| PersistentVolumeClaimSpec {
        access_modes: Some(vec![r.store.access_mode.as_str().to_owned()]),
        storage_class_name: r.store.storage_class_name.clone(),
        resources: Some(VolumeResourceRequirements {
            requests: Some([("storage".to_owned(), r.store.size.clone().into())].into()),
            ..VolumeResourceRequirements::default()
        }),
        ..PersistentVolumeClaimSpec::default()
    });
    PersistentVolumeClaim {
        metadata: metadata(r, names::claim(&r.name), labels(&r.name, Component::Optimization)),
        spec: Some(spec),
        status: None,
    }
}
