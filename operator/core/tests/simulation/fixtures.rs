use drydock_contract::{
    AccuracyMeasurement, CandidateReport, Digest, Failure, FailureReason, LatencyMeasurement, Measurements,
    MemoryMeasurement, Quantize, Recipe, SizeMeasurement, Technique,
};
use drydock_crds::{
    Analysis, CanaryStep, Dataset, Gateway, Model, ModelDeployment, ModelDeploymentSpec, Optimization, ParentKind,
    ParentRef, Rollout, RouteParents, Router, Serving, Source, UrlSource, VolumeSource,
};

pub fn url(name: &str) -> Source {
    Source { https: Some(UrlSource { url: format!("https://models.example/{name}") }), ..Source::default() }
}

pub fn pvc(path: &str) -> Source {
    Source { pvc: Some(VolumeSource { claim_name: "data".into(), path: path.into() }), ..Source::default() }
}

pub fn recipe(name: &str) -> Recipe {
    Recipe {
        name: name.into(),
        techniques: vec![Technique { quantize: Some(Quantize::default()), ..Technique::default() }],
    }
}

/// One recipe, two steps of ten seconds, one pod.
pub fn fashion() -> ModelDeployment {
    let spec = ModelDeploymentSpec {
        suspend: false,
        model: Model {
            source: url("fashion.onnx"),
            preprocessing: None,
            labels: vec!["shirt".into(), "shoe".into()],
            detection: None,
        },
        optimization: Some(Optimization {
            dataset: Some(Dataset {
                calibration: pvc("calibration.npz"),
                evaluation: pvc("evaluation.npz"),
                training: None,
            }),
            recipes: vec![recipe("int8")],
            deadline_seconds: 3600,
            ..Optimization::default()
        }),
        serving: Serving { replicas: Some(1), ..Serving::default() },
        rollout: Rollout {
            steps: [20, 50].map(|weight| CanaryStep { weight, hold_seconds: 10, pause: false }).to_vec(),
            analysis: Analysis { min_requests: 50, ..Analysis::default() },
            progress_deadline_seconds: 20,
            scale_down_delay_seconds: 5,
            ..Rollout::default()
        },
        artifact_store: drydock_crds::ArtifactStore::default(),
    };
    let mut md = ModelDeployment::new("fashion", spec);
    md.metadata.namespace = Some("shop".into());
    md.metadata.uid = Some("md-uid".into());
    md.metadata.generation = Some(1);
    md
}

/// Both routes, at a Gateway of the infrastructure's.
pub fn behind_a_gateway(rollout: &mut Rollout) {
    let parent = ParentRef { name: "public".into(), namespace: Some("infra".into()), ..ParentRef::default() };
    let of = |section: &str, hostname: &str| {
        let parent_refs = vec![ParentRef { section_name: Some(section.into()), ..parent.clone() }];
        Some(RouteParents { parent_refs, hostnames: vec![hostname.into()] })
    };
    rollout.router = Router::Gateway;
    rollout.gateway =
        Some(Gateway { http: of("http", "fashion.example.com"), grpc: of("grpc", "grpc.fashion.example.com") });
}

/// Both routes, for a mesh that takes them by the Service that users talk to.
pub fn in_a_mesh(rollout: &mut Rollout) {
    let parent = ParentRef { kind: ParentKind::Service, name: "fashion".into(), ..ParentRef::default() };
    let parents = Some(RouteParents { parent_refs: vec![parent], hostnames: vec![] });
    rollout.router = Router::Gateway;
    rollout.gateway = Some(Gateway { http: parents.clone(), grpc: parents });
}

/// A good result: the original, or a quarter of it and 3.8 times as fast.
pub fn report(candidate: &str) -> CandidateReport {
    let (size, cpu, top1) = if candidate == "original" { (4_000_000, 3.8, 91.8) } else { (1_032_000, 1.0, 91.72) };
    CandidateReport {
        candidate: candidate.into(),
        package: Some(Digest::of(candidate.as_bytes())),
        measurements: Measurements {
            accuracy: Some(AccuracyMeasurement {
                top1,
                original_top1: 91.8,
                agreement: 99.1,
                images: 1000,
                ..AccuracyMeasurement::default()
            }),
            latency: Some(LatencyMeasurement {
                cpu,
                original_cpu: 3.8,
                p50: cpu,
                p99: cpu * 1.2,
                original_p50: 3.8,
                original_p99: 4.5,
                rounds: 50,
                ..LatencyMeasurement::default()
            }),
            size: Some(SizeMeasurement { bytes: size, original_bytes: 4_000_000 }),
            memory: Some(MemoryMeasurement { peak_bytes: 60 * 1024 * 1024 }),
            ..Measurements::default()
        },
        failure: None,
    }
}

pub fn failure(candidate: &str, reason: FailureReason, message: &str) -> CandidateReport {
    CandidateReport {
        candidate: candidate.into(),
        package: None,
        measurements: Measurements::default(),
        failure: Some(Failure { reason, message: message.into() }),
    }
}
