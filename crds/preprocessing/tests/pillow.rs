//! The same numbers as Pillow and NumPy, whose results lie in tests/fixtures (tests/fixtures.py makes them).

#![allow(clippy::unwrap_used, reason = "clippy allows it in test functions only, and these have helpers")]

use std::path::Path;

use drydock_contract::Preprocessing;
use drydock_preprocessing::{ImageError, Images};
use serde_json::Value;

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)).unwrap()
}

fn dims(value: &Value) -> Vec<i64> {
    serde_json::from_value(value.clone()).unwrap()
}

#[test]
fn as_pillow_and_numpy_have_it() {
    let cases: Vec<Value> = serde_json::from_slice(&fixture("cases.json")).unwrap();
    assert!(cases.len() >= 40, "{} cases", cases.len());
    let expected = fixture("expected.f32");
    let mut expected = expected.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b));
    let mut wrong = Vec::new();
    for case in &cases {
        let preprocessing: Preprocessing = serde_json::from_value(case["preprocessing"].clone()).unwrap();
        let images = Images::new(&preprocessing, &dims(&case["input"])).unwrap();
        let made = images.tensor(&fixture(case["file"].as_str().unwrap())).unwrap();
        assert_eq!(made.shape, dims(&case["shape"]), "{case}");
        // One step of a raw pixel, at the output.
        let step = preprocessing.scale / preprocessing.std.iter().copied().fold(1.0, f64::min);
        let furthest = made.data.iter().map(|v| (v - expected.next().unwrap()).abs()).fold(0.0, f32::max);
        let steps = f64::from(furthest) / step;
        if steps > case["limit"].as_f64().unwrap() + 1e-3 {
            wrong.push(format!("{}: {steps:.3} steps", case["name"]));
        }
    }
    assert_eq!(expected.next(), None);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn images_that_are_refused() {
    let whole = fixture("rgb.png");
    let jpeg = fixture("420.jpg");
    let crc = {
        let mut png = whole.clone();
        let data = png.windows(4).position(|w| w == b"IDAT").unwrap();
        png[data + 12] ^= 0xFF;
        png
    };
    // 60000 x 60000 grey pixels, claimed in 33 bytes.
    let bomb = {
        let mut png = whole.clone();
        png[16..24].copy_from_slice(&[0, 0, 0xEA, 0x60, 0, 0, 0xEA, 0x60]);
        let sum = crc32(&png[12..29]);
        png[29..33].copy_from_slice(&sum.to_be_bytes());
        png
    };
    let plain = "{}";
    for (case, bytes, preprocessing, part) in [
        ("empty", Vec::new(), plain, "found an empty file; expected a JPEG, PNG or WebP"),
        ("text", b"no image at all".to_vec(), plain, "content that is no image"),
        ("GIF", b"GIF89a\x01\x00\x01\x00".to_vec(), plain, "found Gif"),
        ("half a PNG", whole[..whole.len() / 2].to_vec(), plain, "cannot decode the PNG"),
        ("half a JPEG", jpeg[..jpeg.len() - 40].to_vec(), plain, "cannot decode the JPEG image: it is truncated"),
        ("half a WebP", fixture("lossy.webp")[..60].to_vec(), plain, "cannot decode the WebP"),
        ("damaged", crc, plain, "cannot decode the PNG"),
        ("a bomb", bomb, plain, "60000 x 60000 pixels; expected at most 67108864"),
        ("another size", whole.clone(), plain, "17 x 13 (width x height); expected 8 x 8"),
        ("too wide", whole.clone(), r#"{"resize": {"shorterSide": 8}}"#, "10 x 8 (width x height); expected 8 x 8"),
        (
            "smaller than the crop",
            fixture("grey.png"),
            r#"{"resize": {"width": 7, "height": 9}, "crop": {"width": 8, "height": 8}}"#,
            "7 x 9 pixels (width x height) to crop; expected at least 8 x 8",
        ),
    ] {
        let preprocessing: Preprocessing = serde_json::from_str(preprocessing).unwrap();
        let error: ImageError = Images::new(&preprocessing, &[3, 8, 8]).unwrap().tensor(&bytes).expect_err(case);
        assert!(error.to_string().contains(part), "{case}: {error}");
    }
}

/// As PNG has it.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |s, _| if s & 1 == 1 { (s >> 1) ^ 0xEDB8_8320 } else { s >> 1 })
    })
}
