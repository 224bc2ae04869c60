//! A detector: boxes in the place of numbers, in the pixels of the picture that was sent.

use std::io::{Cursor, Read as _};
use std::path::Path;

use drydock_contract::{Datatype, Detection, DetectionLayout, Preprocessing, Resize, TensorSignature};
use image::{ImageFormat, RgbImage};
use inference_sidecar::{Lifecycle, Server};
use serde_json::Value;

use crate::image_batches::{BOUNDARY, form};
use crate::support::{Package, Running};

fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../optimizer/tests/fixtures/detector").join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn package(detection: Option<Detection>) -> Package {
    let tensor = |name: &str, shape: &[i64]| TensorSignature {
        name: name.into(),
        datatype: Datatype::Fp32,
        shape: shape.to_vec(),
    };
    let (input, output) = (tensor("images", &[-1, 3, 48, 48]), tensor("output0", &[-1, 6, 36]));
    let resize = Resize { width: Some(48), height: Some(48), letterbox: Some(114), ..Resize::default() };
    let preprocessing = Preprocessing { scale: 1.0 / 255.0, resize: Some(resize), ..Preprocessing::default() };
    let labels = ["red", "blue"].map(str::to_owned).to_vec();
    Package::detector(&fixture("squares.onnx"), vec![input], vec![output], labels, preprocessing, detection)
}

struct Picture {
    file: Vec<u8>,
    /// Category; x, y, width, height.
    objects: Vec<(i64, [f64; 4])>,
}

/// Those of the evaluation set.
fn pictures() -> Vec<Picture> {
    let packed = fixture("evaluation.tar");
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    for entry in tar::Archive::new(packed.as_slice()).entries().unwrap() {
        let mut entry = entry.unwrap();
        let (name, mut content) = (entry.path().unwrap().display().to_string(), Vec::new());
        entry.read_to_end(&mut content).unwrap();
        files.push((name, content));
    }
    let listing: Value = serde_json::from_slice(&files.remove(0).1).unwrap();
    let objects = |i: usize| {
        let of = listing["annotations"].as_array().unwrap().iter().filter(|a| a["image_id"] == 100 + i);
        of.map(|a| (a["category_id"].as_i64().unwrap(), serde_json::from_value(a["bbox"].clone()).unwrap())).collect()
    };
    files.into_iter().enumerate().map(|(i, (_, file))| Picture { file, objects: objects(i) }).collect()
}

async fn post(server: &Running, query: &str, body: Vec<u8>) -> (u16, Value) {
    let answer = server.client.post(server.infer_url() + query).body(body).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

fn overlap(a: [f64; 4], [x, y, width, height]: [f64; 4]) -> f64 {
    let b = [x, y, x + width, y + height];
    let common = (a[2].min(b[2]) - a[0].max(b[0])).max(0.0) * (a[3].min(b[3]) - a[1].max(b[1])).max(0.0);
    common / ((a[2] - a[0]) * (a[3] - a[1]) + width * height - common)
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_where_they_are_in_the_picture() {
    let server = Running::serve(package(Some(Detection::default())), &[]).await;
    let pictures = pictures();
    let (mut objects, mut found) = (0, 0);
    for Picture { file, objects: expected } in &pictures {
        let (status, answer) = post(&server, "", file.clone()).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!((answer.get("labels"), &answer["outputs"]), (None, &Value::Array(vec![])), "{answer}");
        let boxes = answer["boxes"].as_array().unwrap();
        let scores: Vec<f64> = boxes.iter().map(|b| b["score"].as_f64().unwrap()).collect();
        assert!(scores.iter().rev().is_sorted() && scores.iter().all(|s| *s >= 0.25), "{answer}");
        objects += expected.len();
        for (category, place) in expected {
            let label = if *category == 3 { "red" } else { "blue" };
            let is_it = |b: &&Value| {
                let edges: [f64; 4] = serde_json::from_value(b["box"].clone()).unwrap();
                assert!(edges[2] <= 64.0 && edges[3] <= 48.0 && edges.iter().all(|e| *e >= 0.0), "{answer}");
                b["label"] == label && overlap(edges, *place) > 0.5
            };
            found += usize::from(boxes.iter().any(|b| is_it(&b)));
        }
    }
    // pycocotools has 98 % at an overlap of 0.5, of all scores.
    assert!(objects >= 40 && found * 10 >= objects * 8, "{found} of {objects}");

    let most = pictures.iter().max_by_key(|p| p.objects.len()).unwrap();
    let (_, answer) = post(&server, "?top=1", most.file.clone()).await;
    assert_eq!(answer["boxes"].as_array().unwrap().len(), 1, "{answer}");
    let mut plain = Cursor::new(Vec::new());
    RgbImage::from_pixel(64, 48, image::Rgb([90; 3])).write_to(&mut plain, ImageFormat::Png).unwrap();
    let (status, answer) = post(&server, "", plain.into_inner()).await;
    assert_eq!((status, &answer["boxes"]), (200, &Value::Array(vec![])), "{answer}");
}

/// In the order of the parts, and each as if it had come alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_form_has_a_list_of_boxes_for_each_part() {
    let server = Running::serve(package(Some(Detection::default())), &[]).await;
    let mut pictures = pictures();
    pictures.truncate(2);
    let mut alone = Vec::new();
    for picture in &pictures {
        alone.push(post(&server, "", picture.file.clone()).await.1["boxes"].clone());
    }
    let classes = |boxes: &Value| {
        boxes.as_array().unwrap().iter().map(|b| (b["class"].clone(), b["label"].clone())).collect::<Vec<_>>()
    };
    for count in [1, 2] {
        let parts: Vec<&[u8]> = pictures.iter().take(count).map(|p| p.file.as_slice()).collect();
        let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
        let request = server.client.post(server.infer_url()).header("content-type", content_type).body(form(&parts));
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        let answer: Value = response.json().await.unwrap();
        assert_eq!((answer.get("labels"), &answer["outputs"]), (None, &Value::Array(vec![])), "{answer}");
        let boxes = answer["boxes"].as_array().unwrap();
        assert_eq!(boxes.len(), count, "{answer}");
        for (boxes, alone) in boxes.iter().zip(&alone) {
            assert!(!classes(boxes).is_empty());
            assert_eq!(classes(boxes), classes(alone), "{answer}");
        }
    }
}

/// Who sends tensors gets tensors; without `detection` nothing is taken for boxes.
#[tokio::test(flavor = "multi_thread")]
async fn numbers_are_there_for_who_sends_numbers() {
    let server = Running::serve(package(Some(Detection::default())), &[]).await;
    let body = serde_json::json!({
        "inputs": [{"name": "images", "datatype": "FP32", "shape": [1, 3, 48, 48], "data": vec![0.5_f32; 3 * 48 * 48]}],
    });
    let answer: Value = server.client.post(server.infer_url()).json(&body).send().await.unwrap().json().await.unwrap();
    assert_eq!((answer["outputs"][0]["shape"].to_string(), answer.get("boxes")), ("[1,6,36]".into(), None), "{answer}");

    let server = Running::serve(package(None), &[]).await;
    let (_, answer) = post(&server, "", pictures().remove(0).file).await;
    assert_eq!((answer["outputs"][0]["shape"].to_string(), answer.get("boxes")), ("[1,6,36]".into(), None), "{answer}");
}

#[tokio::test]
async fn a_package_of_other_outputs_is_not_served() {
    let package = package(Some(Detection { layout: Some(DetectionLayout::YoloV5), ..Detection::default() }));
    let error = Server::start(&package.config(&[]), Lifecycle::default()).await.unwrap_err().to_string();
    assert!(error.contains("output \"output0\" is for 31 classes; expected 2"), "{error}");
}
