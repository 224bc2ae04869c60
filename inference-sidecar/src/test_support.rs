use std::sync::Arc;

use drydock_contract::{Digest, ModelFile, PackageContent, PackageManifest, PackageRecord, Preprocessing, SCHEMA};

use crate::metrics::Metrics;

pub(crate) fn metrics() -> Arc<Metrics> {
    let empty = Digest::of(b"");
    let content = PackageContent {
        schema: SCHEMA,
        model: ModelFile { sha256: empty.clone(), size: 0 },
        inputs: vec![],
        outputs: vec![],
        preprocessing: Preprocessing::default(),
        labels: vec![],
        detection: None,
        target: None,
    };
    let record = PackageRecord::new("original", empty);
    Metrics::new(&PackageManifest { digest: content.digest(), content, record }, "m", "r1")
}
