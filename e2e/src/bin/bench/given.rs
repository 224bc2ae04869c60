//! What all servers are given: the model as a package, and one input as each protocol has it.

use std::error::Error;
use std::fs;
use std::path::Path;

use drydock_contract::{
    Datatype, Digest, MANIFEST_FILE, MODEL_FILE, ModelFile, PackageContent, PackageManifest, PackageRecord,
    Preprocessing, SCHEMA, TensorSignature,
};
use inference_sidecar::proto::ModelInferRequest;
use inference_sidecar::proto::model_infer_request::InferInputTensor;
use prost::Message as _;
use serde_json::{Value, json};

pub(crate) const SHAPE: [i64; 4] = [1, 3, 224, 224];

pub(crate) fn package(model: &Path, directory: &Path) -> Result<Value, Box<dyn Error>> {
    let model = fs::read(model)?;
    let tensor = |name: &str, shape: &[i64]| TensorSignature {
        name: name.into(),
        datatype: Datatype::Fp32,
        shape: shape.into(),
    };
    let content = PackageContent {
        schema: SCHEMA,
        model: ModelFile { sha256: Digest::of(&model), size: model.len() as u64 },
        inputs: vec![tensor("input", &SHAPE)],
        outputs: vec![tensor("output", &[1, 1000])],
        // ImageNet's, as torchvision has them.
        preprocessing: Preprocessing {
            scale: 1.0 / 255.0,
            mean: vec![0.485, 0.456, 0.406],
            std: vec![0.229, 0.224, 0.225],
            ..Preprocessing::default()
        },
        labels: Vec::new(),
        detection: None,
        target: None,
    };
    let (digest, record) = (content.digest(), PackageRecord::new("original", Digest::of(&model)));
    fs::create_dir_all(directory)?;
    fs::write(directory.join(MODEL_FILE), model)?;
    let manifest = PackageManifest { digest: digest.clone(), content, record };
    fs::write(directory.join(MANIFEST_FILE), serde_json::to_vec(&manifest)?)?;
    Ok(json!({"digest": digest.to_string()}))
}

pub(crate) fn bodies(directory: &Path, model_name: &str) -> Result<Value, Box<dyn Error>> {
    let raw = fs::read(directory.join("input.f32"))?;
    let (chunks, _) = raw.as_chunks::<4>();
    // As Python writes what it has read as float32: the digits of the same value as a double.
    let values: Vec<f64> = chunks.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect();
    let input = json!({"name": "input", "datatype": "FP32", "shape": SHAPE});
    let with = |name: &str, value: Value| {
        let mut input = input.clone();
        input[name] = value;
        input
    };
    let json = json!({"inputs": [with("data", values.into())]});
    fs::write(directory.join("json.body"), json.to_string())?;

    let binary = with("parameters", json!({"binary_data_size": raw.len()}));
    let head = json!({"inputs": [binary], "parameters": {"binary_data_output": true}}).to_string();
    fs::write(directory.join("binary.body"), [head.as_bytes(), &raw].concat())?;

    let input = InferInputTensor {
        name: "input".into(),
        datatype: "FP32".into(),
        shape: SHAPE.to_vec(),
        ..InferInputTensor::default()
    };
    let request = ModelInferRequest {
        model_name: model_name.into(),
        inputs: vec![input],
        raw_input_contents: vec![raw.into()],
        ..ModelInferRequest::default()
    };
    // "Length-Prefixed-Message" of the gRPC protocol over HTTP/2: not compressed.
    let message = request.encode_to_vec();
    let length = u32::try_from(message.len())?.to_be_bytes();
    fs::write(directory.join("grpc.body"), [[0].as_slice(), &length, &message].concat())?;
    Ok(json!({"header_length": head.len()}))
}
