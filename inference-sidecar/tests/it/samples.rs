//! Inputs that a package has recorded, with the answers to them: the server warms up on them, and says how far off its own are.

use drydock_contract::{Digest, RecordedSamples, SAMPLES_FILE, sample_input, sample_output};
use safetensors::tensor::{Dtype, TensorView, serialize};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::process::command;
use crate::support::{Package, bytes, image};

/// The example model with so many inputs, and an answer to each that it does not give.
pub(crate) fn package(count: u32) -> Package {
    let package = Package::new();
    let (inputs, output): (Vec<_>, _) = ((0..count).map(|n| bytes(&image(n as usize))).collect(), bytes(&[1.0; 10]));
    let views = inputs.iter().zip(0..).flat_map(|(input, n)| {
        [
            (sample_input(n, "input"), TensorView::new(Dtype::F32, vec![1, 1, 28, 28], input).unwrap()),
            (sample_output(n, "logits"), TensorView::new(Dtype::F32, vec![1, 10], &output).unwrap()),
        ]
    });
    let file = serialize(views, None).unwrap();
    std::fs::write(package.path(SAMPLES_FILE), &file).unwrap();
    let mut manifest = package.manifest();
    let samples = RecordedSamples { count, sha256: Digest::of(&file), size: file.len() as u64 };
    manifest.record.samples = Some(samples);
    package.write(&manifest);
    package
}

/// What the server logs until it is ready.
async fn said(package: &Package) -> Vec<Value> {
    let mut child = command(&package.arguments(&[])).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut events = Vec::new();
    loop {
        let line = lines.next_line().await.unwrap().expect("it ended before it was ready");
        events.push(serde_json::from_str::<Value>(&line).unwrap());
        if events.last().unwrap()["message"] == "ready" {
            return events;
        }
    }
}

#[tokio::test]
async fn answers_other_than_those_recorded_are_a_warning_with_a_figure() {
    let package = package(1);
    let events = said(&package).await;
    let told = |part: &str| events.iter().filter(|e| e["message"].as_str().unwrap_or_default().contains(part)).count();
    assert_eq!(told("are not answered as they were"), 1, "{events:?}");
    let warning = events.iter().find(|e| e["percent"].is_number()).unwrap();
    assert_eq!((&warning["level"], &warning["output"]), (&"WARN".into(), &"logits".into()), "{warning}");
    assert!(warning["percent"].as_f64().unwrap() > warning["tolerance"].as_f64().unwrap(), "{warning}");

    // Another file than the manifest names: as if there were none.
    std::fs::write(package.path(SAMPLES_FILE), b"another").unwrap();
    let events = said(&package).await;
    let warning = events.iter().find(|e| e["level"] == "WARN").unwrap();
    assert!(warning["message"].as_str().unwrap().contains("the recorded samples are not used"), "{warning}");
}
