use std::collections::BTreeMap;
use std::sync::Arc;

use drydock_contract::{
    Digest, Measurements, ModelFile, PackageContent, PackageManifest, PackageRecord, Preprocessing, SCHEMA,
};

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
        target: None,
    };
    let record = PackageRecord {
        candidate: "original".into(),
        recipe: None,
        source: empty,
        calibration: None,
        evaluation: None,
        training: None,
        models: std::collections::BTreeMap::new(),
        measurements: Measurements::default(),
        tools: BTreeMap::new(),
    };
    Metrics::new(&PackageManifest { digest: content.digest(), content, record }, "m", "r1")
}
