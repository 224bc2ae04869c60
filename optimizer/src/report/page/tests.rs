use drydock_contract::{
    AccuracyChange, AccuracyMeasurement, Detection, DetectionMeasurement, Digest, FidelityMeasurement, GraphSummary,
    Graphs, LatencyMeasurement, ModelFile, OperatorCount, OutputBaseline, PackageContent, PackageManifest,
    PackageRecord, Preprocessing, Quantize, Recipe, SCHEMA, SizeMeasurement, Statistics, Technique,
};
use drydock_contract::{Baseline, Distribution};

use super::*;
use crate::evaluate::{Answer, Cell, Confusion};
use crate::report::{ChangedImage, Cost, LayerRow, LayerStudy, Study};

/// What a person could put into a name.
const HOSTILE: &str = "<script>alert(1)</script>\"'&";

/// Names from the user are hostile wherever there is one.
fn package() -> Package {
    let content = PackageContent {
        schema: SCHEMA,
        model: ModelFile { sha256: Digest::of(b""), size: 1 },
        inputs: Vec::new(),
        outputs: Vec::new(),
        preprocessing: Preprocessing::default(),
        labels: vec![HOSTILE.into(), String::new()],
        detection: None,
        target: None,
    };
    let mut record = PackageRecord::new(HOSTILE, Digest::of(b""));
    let technique = Technique { quantize: Some(Quantize::default()), ..Technique::default() };
    record.recipe = Some(Recipe { name: HOSTILE.into(), techniques: vec![technique] });
    record.notes = vec![HOSTILE.into()];
    record.tools = [(HOSTILE.to_owned(), HOSTILE.to_owned())].into();
    let change = AccuracyChange { low: -0.3, high: 0.1, p: 0.2, lost: 3, gained: 1 };
    let accuracy = AccuracyMeasurement { top1: 91.0, original_top1: 91.1, change: Some(change), ..Default::default() };
    record.measurements.accuracy = Some(accuracy);
    record.measurements.latency = Some(LatencyMeasurement { cpu: 1.0, original_cpu: 4.0, ..Default::default() });
    record.measurements.size = Some(SizeMeasurement { bytes: 25, original_bytes: 100 });
    let count = OperatorCount { nodes: 1, macs: 5 };
    let summary = GraphSummary { operators: [(HOSTILE.to_owned(), count)].into(), ..Default::default() };
    record.graphs = Some(Graphs { original: summary.clone(), candidate: summary });
    let spread = Distribution { mean: 0.5, std: 0.1, bins: vec![0, 2] };
    let output = OutputBaseline {
        mean_scores: vec![0.0; 2],
        predicted: vec![1, 1],
        softmax: true,
        margin: spread.clone(),
        entropy: spread,
    };
    record.baseline = Some(Baseline { images: 2, input: vec![Statistics::default()], output: Some(output) });
    let cell = |label, class| Cell { label, class: Some(class), images: 2 };
    let layer = LayerRow {
        name: HOSTILE.into(),
        operator: HOSTILE.into(),
        original: Cost { macs: 5, bytes: 7 },
        candidate: Cost { macs: 5, bytes: 2 },
        sqnr_decibels: Some(30.0),
    };
    let rest = Cost::default();
    let image = |png: &str| ChangedImage {
        index: 3,
        label: Some(0),
        original: Answer { class: 0, probability: 0.9 },
        candidate: Answer { class: 1, probability: 0.6 },
        png: Some(png.to_owned()),
    };
    Package {
        manifest: PackageManifest { digest: content.digest(), content, record },
        confusion: Some(Confusion { classes: 2, original: vec![cell(0, 0)], candidate: vec![cell(0, 1)] }),
        study: Study {
            layers: Some(LayerStudy { images: 4, layers: vec![layer], rest_original: rest, rest_candidate: rest }),
            changed_images: 1,
            changed: vec![image("iVBORw0="), image("\" onerror=\"alert(1)")],
        },
    }
}

fn draw(package: &Package) -> String {
    let gates = Gates { max_accuracy_drop: Some(0.5), min_speedup: Some(1.1), max_size_ratio: Some(0.3) };
    render(&Page { package, others: std::slice::from_ref(package), gates: &gates })
}

#[test]
fn nothing_is_loaded_and_nothing_runs_whatever_the_names_are() {
    let html = draw(&package());
    assert!(!html.contains("<script") && !html.contains("onerror=\"") && !html.contains("onerror=&quot;"), "{html}");
    assert!(html.contains("&lt;script&gt;"));
    for source in ["http:", "https:", "url(", "@import", "<link", "<iframe"] {
        assert!(!html.contains(source), "{source}");
    }
    assert!(html.contains("data:image/png;base64,iVBORw0="));
}

#[test]
fn every_part_is_there_and_the_same_each_time() {
    let package = package();
    let html = draw(&package);
    for title in ["Numbers", "Trade-off", "Layers", "Confusion", "Changed answers", "Baseline", "Recipe", "Origin"] {
        assert!(html.contains(&format!("<h2>{title}</h2>")), "{title}");
    }
    for text in
        ["4.00 times as fast", "25.0 % of its size", "-0.10 points", "gate: 1.1", "30.0 dB", "prefers-color-scheme"]
    {
        assert!(html.contains(text), "{text}");
    }
    assert_eq!(html, draw(&package));
}

#[test]
fn what_was_not_measured_is_left_out() {
    let mut bare = package();
    bare.manifest.record = PackageRecord::new("original", Digest::of(b""));
    bare.confusion = None;
    bare.study = Study::default();
    let html = draw(&bare);
    assert!(html.contains("The model as it came."));
    for title in ["Trade-off", "Layers", "Confusion", "Changed answers", "Baseline", "Recipe"] {
        assert!(!html.contains(&format!("<h2>{title}</h2>")), "{title}");
    }
}

#[test]
fn a_detector_is_measured_in_its_own_words() {
    let mut package = package();
    package.manifest.content.detection = Some(Detection::default());
    let measurements = &mut package.manifest.record.measurements;
    measurements.accuracy = None;
    measurements.fidelity = Some(FidelityMeasurement { agreement: 97.5, sqnr_decibels: None, images: 2 });
    let html = draw(&package);
    assert!(html.contains("97.50 % of mAP against the original's boxes") && !html.contains("same answer"), "{html}");
    assert!(html.contains(">mAP against the original's boxes, %<") && !html.contains("already seen"), "{html}");

    let detection = |same_data| DetectionMeasurement {
        map: 50.0,
        original_map: 50.0,
        map50: 70.0,
        original_map50: 70.0,
        images: 2,
        objects: 3,
        same_data,
        change: None,
    };
    for same_data in [false, true] {
        package.manifest.record.measurements.detection = Some(detection(same_data));
        assert_eq!(draw(&package).contains("already seen"), same_data);
    }
}
