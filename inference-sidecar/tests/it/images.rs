//! `curl --data-binary @shoe.png`: an image in, labels out.

use std::io::Cursor;

use drydock_contract::{Preprocessing, Resize};
use image::{DynamicImage, GrayImage, ImageFormat, Luma};
use serde_json::Value;

use crate::support::{Package, Running, json_body};

const LABELS: [&str; 10] =
    ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"];

pub(crate) fn preprocessing() -> Preprocessing {
    Preprocessing { scale: 1.0 / 255.0, mean: vec![0.2860], std: vec![0.3530], ..Preprocessing::default() }
}

pub(crate) async fn server(preprocessing: Preprocessing, more: &[&str]) -> Running {
    Running::serve(Package::fashion_of(LABELS.map(str::to_owned).to_vec(), preprocessing), more).await
}

/// Trousers, more or less: two legs.
pub(crate) fn trousers(size: u32) -> GrayImage {
    GrayImage::from_fn(size, size, |x, y| {
        let (x, y) = (x * 28 / size, y * 28 / size);
        let leg = (8..13).contains(&x) || (15..20).contains(&x) || (8..20).contains(&x) && y < 8;
        Luma([if leg && (2..27).contains(&y) { 200 } else { 0 }])
    })
}

pub(crate) fn encoded(image: &GrayImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let image = DynamicImage::ImageLuma8(image.clone());
    // WebP is written in colour only.
    let image = if format == ImageFormat::WebP { image.to_rgb8().into() } else { image };
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

async fn post(server: &Running, query: &str, body: Vec<u8>, content_type: &str) -> (u16, Value) {
    let request = server.client.post(server.infer_url() + query).header("content-type", content_type).body(body);
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_answer_as_the_tensor_gets() {
    let server = server(preprocessing(), &[]).await;
    let image = trousers(28);
    let values: Vec<f32> = image.as_raw().iter().map(|v| ((f64::from(*v) / 255.0 - 0.2860) / 0.3530) as f32).collect();
    let by_tensor: Value =
        server.client.post(server.infer_url()).json(&json_body(&values)).send().await.unwrap().json().await.unwrap();
    for (format, content_type) in [
        (ImageFormat::Png, "image/png"),
        // What curl says of --data-binary.
        (ImageFormat::Png, "application/x-www-form-urlencoded"),
        (ImageFormat::WebP, "image/webp"),
    ] {
        let (status, answer) = post(&server, "", encoded(&image, format), content_type).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer["outputs"], by_tensor["outputs"], "{format:?}");
        assert_eq!(answer["labels"][0]["label"], "Trouser", "{answer}");
        assert_eq!(answer["labels"].as_array().unwrap().len(), 5);
        assert_eq!(answer["model_version"], by_tensor["model_version"]);
    }
    // JPEG loses a little, and not the trousers.
    let (_, answer) = post(&server, "?top=2", encoded(&image, ImageFormat::Jpeg), "image/jpeg").await;
    assert_eq!((answer["labels"][0]["class"].as_u64(), answer["labels"].as_array().unwrap().len()), (Some(1), 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_one_is_made_smaller_where_the_package_says_so() {
    let photograph = encoded(&trousers(400), ImageFormat::Png);
    let resized = Preprocessing {
        resize: Some(Resize { width: Some(28), height: Some(28), ..Resize::default() }),
        ..preprocessing()
    };
    let (status, answer) = post(&server(resized, &[]).await, "", photograph.clone(), "image/png").await;
    assert_eq!((status, answer["labels"][0]["label"].as_str()), (200, Some("Trouser")), "{answer}");

    let (status, answer) = post(&server(preprocessing(), &[]).await, "", photograph, "image/png").await;
    assert_eq!(status, 400);
    assert!(answer["error"].as_str().unwrap().contains("400 x 400"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said() {
    let small = server(preprocessing(), &["--max-bytes-in-flight", "1000000"]).await;
    let png = encoded(&trousers(28), ImageFormat::Png);
    let cut = png[..png.len() - 20].to_vec();
    // A few bytes that say they are 4000 by 4000 pixels.
    let bomb = encoded(&GrayImage::new(4000, 4000), ImageFormat::Png);
    assert!(bomb.len() < 200_000, "{}", bomb.len());
    for (body, content_type, query, part) in [
        (b"{}".to_vec(), "image/png", "", "expected a JPEG, PNG or WebP image"),
        (b"GIF89a......".to_vec(), "image/gif", "", "expected a JPEG, PNG or WebP image"),
        (cut, "image/png", "", "cannot decode the PNG image"),
        (bomb, "image/png", "", "bytes of memory"),
        (png, "image/png", "?top=0", "top is \"0\""),
    ] {
        let (status, answer) = post(&small, query, body, content_type).await;
        assert_eq!(status, 400, "{part}: {answer}");
        assert!(answer["error"].as_str().unwrap().contains(part), "{part}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_there_for_who_asks() {
    let with = server(preprocessing(), &["--page", "true"]).await;
    let answer = with.client.get(with.url("/")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    assert!(!answer.text().await.unwrap().contains("http"), "nothing comes from elsewhere");

    let without = server(preprocessing(), &[]).await;
    assert_eq!(without.client.get(without.url("/")).send().await.unwrap().status(), 404);
}
