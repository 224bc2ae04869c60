//! Encoded images in every form that the protocol has for them: parts of a form, and BYTES tensors.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::{GrayImage, ImageFormat};
use inference_sidecar::proto::model_infer_request::InferInputTensor;
use inference_sidecar::proto::{InferTensorContents, ModelInferRequest};
use serde_json::{Value, json};
use tonic::Code;

use crate::images::{encoded, preprocessing, server, trousers};
use crate::support::{MODEL, Running};

pub(crate) const BOUNDARY: &str = "----x";

/// As `curl -F` and browsers write it.
pub(crate) fn form(parts: &[&[u8]]) -> Vec<u8> {
    let mut body = Vec::new();
    for (i, part) in parts.iter().enumerate() {
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"image\"; filename=\"{i}.png\"\r\n\
             Content-Type: image/png\r\n\r\n"
        );
        body.extend([head.as_bytes(), part, b"\r\n"].concat());
    }
    body.extend(format!("--{BOUNDARY}--\r\n").bytes());
    body
}

async fn post(running: &Running, content_type: &str, body: Vec<u8>, header_length: Option<usize>) -> (u16, Value) {
    let mut request = running.client.post(running.infer_url()).header("content-type", content_type).body(body);
    if let Some(length) = header_length {
        request = request.header("inference-header-content-length", length);
    }
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn post_form(running: &Running, body: Vec<u8>) -> (u16, Value) {
    post(running, &format!("multipart/form-data; boundary={BOUNDARY}"), body, None).await
}

/// Three images that differ, and what each is answered alone.
async fn three(running: &Running) -> (Vec<Vec<u8>>, Vec<Value>) {
    let white = GrayImage::from_pixel(28, 28, image::Luma([255]));
    let images = vec![
        encoded(&trousers(28), ImageFormat::Png),
        encoded(&white, ImageFormat::WebP),
        encoded(&GrayImage::new(28, 28), ImageFormat::Png),
    ];
    let mut answers = Vec::new();
    for image in &images {
        let (status, answer) = post(running, "image/png", image.clone(), None).await;
        assert_eq!(status, 200, "{answer}");
        answers.push(answer);
    }
    (images, answers)
}

/// Sums may be taken in another order in a batch.
fn assert_close(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-3), "{found:?} {expected:?}");
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn logits(alone: &[Value]) -> Vec<f64> {
    alone.iter().flat_map(|answer| numbers(&answer["outputs"][0]["data"])).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_of_images_is_a_batch() {
    let running = server(preprocessing(), &[]).await;
    let (images, alone) = three(&running).await;
    let (status, answer) = post_form(&running, form(&images.iter().map(Vec::as_slice).collect::<Vec<_>>())).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["outputs"][0]["shape"], json!([3, 10]));
    assert_close(&numbers(&answer["outputs"][0]["data"]), &logits(&alone));
    // In the order of the parts, and each as if it had come alone.
    for (labels, alone) in answer["labels"].as_array().unwrap().iter().zip(&alone) {
        assert_eq!(labels[0]["label"], alone["labels"][0]["label"]);
        assert_eq!(labels.as_array().unwrap().len(), 5);
    }
    assert_eq!(answer["labels"].as_array().unwrap().len(), 3);

    // One is a batch of one; the query says how many classes.
    let boundary = format!("Multipart/Form-Data; boundary=\"{BOUNDARY}\"");
    let request = running.client.post(running.infer_url() + "?top=2").header("content-type", boundary);
    let answer: Value = request.body(form(&[&images[0]])).send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["labels"][0].as_array().unwrap().len(), 2, "{answer}");
    assert_eq!(answer["labels"][0][0]["label"], "Trouser");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_is_wrong_is_told_why() {
    let running = server(preprocessing(), &["--max-rows", "2", "--max-bytes-in-flight", "1000000"]).await;
    let png = encoded(&trousers(28), ImageFormat::Png);
    let other = encoded(&trousers(30), ImageFormat::Png);
    let bomb = encoded(&GrayImage::new(4000, 4000), ImageFormat::Png);
    let whole = form(&[&png]);
    for (body, part) in [
        (form(&[&png, b"text"]), "image 1: found "),
        (form(&[&png, &other]), "image 1: found an image of 30 x 30"),
        (form(&[&png, &bomb]), "bytes of memory"),
        (form(&[&png, &png, &png]), "more than 2 parts"),
        (form(&[]), "no image came"),
        (whole[..whole.len() - 20].to_vec(), "the form is not as expected"),
        (b"none".to_vec(), "the form is not as expected"),
    ] {
        let (status, answer) = post_form(&running, body).await;
        assert_eq!(status, 400, "{part}: {answer}");
        assert!(answer["error"].as_str().unwrap().contains(part), "{part}: {answer}");
    }
    let (status, answer) = post(&running, "multipart/form-data", whole, None).await;
    assert_eq!(status, 400);
    assert!(answer["error"].as_str().unwrap().contains("oundary"), "{answer}");
}

/// What decoding takes is beside the bytes that it reads from. `429` would have the client try for ever.
#[tokio::test(flavor = "multi_thread")]
async fn what_can_never_fit_is_not_told_to_come_again() {
    let running = server(preprocessing(), &["--max-bytes-in-flight", "1000000"]).await;
    // What is behind the image's end is not read, and decoding 28 x 28 pixels takes 19 KiB.
    let padded = |bytes: usize| {
        let mut png = encoded(&trousers(28), ImageFormat::Png);
        png.resize(bytes, 0);
        png
    };
    let base64 = |bytes: usize| {
        let data = [STANDARD.encode(padded(bytes))];
        json!({"inputs": [{"name": "input", "datatype": "BYTES", "shape": [1], "data": data}]}).to_string()
    };
    // The budget has 976 KiB. Before the image is decoded a form takes three times its size, and JSON twice.
    for (kib, expected) in [(310, 200), (325, 400)] {
        let (status, answer) = post_form(&running, form(&[&padded((kib << 10) - 200)])).await;
        assert_eq!(status, expected, "{kib}: {answer}");
        assert!(status == 200 || answer["error"].as_str().unwrap().contains("bytes of memory"), "{answer}");
    }
    // Base64 makes four bytes of three.
    for (kib, expected) in [(340, 200), (360, 400)] {
        let (status, answer) = post(&running, "application/json", base64(kib << 10).into_bytes(), None).await;
        assert_eq!(status, expected, "{kib}: {answer}");
        assert!(status == 200 || answer["error"].as_str().unwrap().contains("bytes of memory"), "{answer}");
    }
}

fn elements(images: &[Vec<u8>]) -> Vec<u8> {
    images.iter().flat_map(|image| [&(image.len() as u32).to_le_bytes(), image.as_slice()].concat()).collect()
}

fn message(shape: &[i64], contents: Option<InferTensorContents>, raw: Vec<bytes::Bytes>) -> ModelInferRequest {
    let shape = shape.to_vec();
    let input =
        InferInputTensor { name: "input".into(), datatype: "BYTES".into(), shape, contents, ..Default::default() };
    ModelInferRequest { model_name: MODEL.into(), inputs: vec![input], raw_input_contents: raw, ..Default::default() }
}

fn typed(images: &[Vec<u8>]) -> InferTensorContents {
    InferTensorContents { bytes_contents: images.iter().cloned().map(Into::into).collect(), ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn tensors_of_images_are_a_batch_in_every_form() {
    let running = server(preprocessing(), &[]).await;
    let (images, alone) = three(&running).await;
    let expected = logits(&alone);
    let text: Vec<String> = images.iter().map(|image| STANDARD.encode(image)).collect();
    let nested: Vec<[&String; 1]> = text.iter().map(|text| [text]).collect();
    for (shape, data) in [(json!([3]), json!(text)), (json!([3, 1]), json!(text)), (json!([3, 1]), json!(nested))] {
        let body = json!({"inputs": [{"name": "input", "datatype": "BYTES", "shape": shape, "data": data}]});
        let (status, answer) = post(&running, "application/json", body.to_string().into_bytes(), None).await;
        assert_eq!((status, &answer["outputs"][0]["shape"]), (200, &json!([3, 10])), "{answer}");
        assert_close(&numbers(&answer["outputs"][0]["data"]), &expected);
    }

    let data = elements(&images);
    let head = json!({"inputs": [{"name": "input", "datatype": "BYTES", "shape": [3],
                                  "parameters": {"binary_data_size": data.len()}}],
                      "outputs": [{"name": "logits", "parameters": {"classification": 1}}]});
    let head = head.to_string();
    let (status, answer) =
        post(&running, "application/octet-stream", [head.as_bytes(), &data].concat(), Some(head.len())).await;
    assert_eq!(status, 200, "{answer}");
    let classes = answer["outputs"][0]["data"].as_array().unwrap();
    for (class, alone) in classes.iter().zip(&alone) {
        let label = alone["labels"][0]["label"].as_str().unwrap();
        assert!(class.as_str().unwrap().ends_with(&format!(":{label}")), "{class} {label}");
    }

    let mut client = running.grpc().await;
    for request in [message(&[3], None, vec![data.into()]), message(&[3, 1], Some(typed(&images)), vec![])] {
        let raw = !request.raw_input_contents.is_empty();
        let answer = client.model_infer(request).await.unwrap().into_inner();
        assert_eq!(answer.outputs[0].shape, [3, 10]);
        let found: Vec<f64> = if raw {
            let floats = answer.raw_output_contents[0].as_chunks::<4>().0;
            floats.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect()
        } else {
            answer.outputs[0].contents.as_ref().unwrap().fp32_contents.iter().map(|v| f64::from(*v)).collect()
        };
        assert_close(&found, &expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tensors_of_images_that_are_wrong_are_told_why() {
    let running = server(preprocessing(), &["--max-rows", "2", "--max-bytes-in-flight", "1000000"]).await;
    let mut client = running.grpc().await;
    let png = encoded(&trousers(28), ImageFormat::Png);
    let bomb = encoded(&GrayImage::new(4000, 4000), ImageFormat::Png);
    let (one, two) = (vec![png.clone()], vec![png.clone(), b"text".to_vec()]);
    for (shape, images, part) in [
        (&[2][..], two, "image 1: found "),
        (&[1], vec![bomb], "bytes of memory"),
        (&[2], one.clone(), "data has 1 images; shape [2] has 2"),
        (&[3], vec![png.clone(), png.clone(), png], "expected [N] or [N, 1] for N encoded images, N at most 2"),
        (&[1, 1, 1], one.clone(), "expected [N] or [N, 1]"),
        (&[-1], one.clone(), "not possible"),
        (&[i64::MAX], one, "not possible"),
    ] {
        let data = elements(&images);
        let head = json!({"inputs": [{"name": "input", "datatype": "BYTES", "shape": shape,
                                      "parameters": {"binary_data_size": data.len()}}]});
        let head = head.to_string();
        let (status, answer) =
            post(&running, "application/json", [head.as_bytes(), &data].concat(), Some(head.len())).await;
        assert_eq!(status, 400, "{part}: {answer}");
        assert!(answer["error"].as_str().unwrap().contains(part), "{part}: {answer}");
        for request in [message(shape, None, vec![data.into()]), message(shape, Some(typed(&images)), vec![])] {
            let status = client.model_infer(request).await.unwrap_err();
            assert_eq!(status.code(), Code::InvalidArgument, "{status}");
            assert!(status.message().contains(part), "{part}: {status}");
        }
    }
    let body = json!({"inputs": [{"name": "input", "datatype": "BYTES", "shape": [1], "data": ["no base64"]}]});
    let (status, answer) = post(&running, "application/json", body.to_string().into_bytes(), None).await;
    assert_eq!(status, 400);
    assert!(answer["error"].as_str().unwrap().contains("expected an encoded image in base64"), "{answer}");
}
