//! What is wrong with a request is told with what was expected, at once, and costs nothing.
//!
//! Each kind of bad input, and the test that sends it where it is not this one: compressed bombs (`compression`), bodies and rows over
//! a limit (`limits`), connections that are slow or many, floods of HTTP/2 (`connections`, `connection::tests`), slow bodies
//! (`body::tests`), shapes, datatypes and names over all protocols (`protocols`).

use std::time::{Duration, Instant};

use bytes::Bytes;
use drydock_contract::Datatype;
use inference_sidecar::proto::model_infer_request::InferInputTensor;
use inference_sidecar::proto::{InferTensorContents, ModelInferRequest};
use serde_json::{Value, json};
use tonic::{Code, Status};

use crate::onnx::identities;
use crate::support::{MODEL, Package, Running};

/// Far more than it takes, on a machine that has much else to do.
const AT_ONCE: Duration = Duration::from_secs(5);

/// A model that gives back what it is given, so that nothing but the protocol can refuse anything.
async fn server() -> Running {
    let (model, inputs, outputs) = identities(&[Datatype::Fp32]);
    Running::serve(Package::of(&model, inputs, outputs, vec![]), &["--max-bytes-in-flight", "67108864"]).await
}

async fn server_of(datatype: Datatype) -> Running {
    let (model, inputs, outputs) = identities(&[datatype]);
    Running::serve(Package::of(&model, inputs, outputs, vec![]), &[]).await
}

async fn refused(running: &Running, body: Vec<u8>, header_length: Option<usize>) -> String {
    let mut request = running.client.post(running.infer_url()).body(body);
    if let Some(length) = header_length {
        request = request.header("inference-header-content-length", length);
    }
    let start = Instant::now();
    let response = request.send().await.unwrap();
    let (status, body): (u16, Value) = (response.status().as_u16(), response.json().await.unwrap());
    assert_eq!(status, 400, "{body}");
    assert!(start.elapsed() < AT_ONCE, "{:?}: {body}", start.elapsed());
    body["error"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn bad_json_is_refused() {
    let running = server().await;
    let deep = "[".repeat(1 << 20);
    let input =
        |members: &str| format!(r#"{{"inputs":[{{"name":"x_FP32","datatype":"FP32",{members}}}]}}"#).into_bytes();
    for (what, body, part) in [
        ("nested in data, never closed", input(&format!(r#""shape":[1,2],"data":{deep}"#)), "column"),
        (
            "nested in data, and closed",
            input(&format!(r#""shape":[1,2],"data":{deep}{}"#, "]".repeat(1 << 20))),
            "nested deeper than the 2 dimensions",
        ),
        ("nested where nobody looks", format!(r#"{{"inputs":[],"x":{deep}"#).into_bytes(), "column"),
        ("nested objects", format!(r#"{{"inputs":[],"x":{}"#, r#"{"x":"#.repeat(1 << 18)).into_bytes(), "column"),
        ("a product that overflows", input(r#""shape":[4294967296,4294967296],"data":[1]"#), "expected [-1, 2]"),
        ("a dimension that overflows", input(r#""shape":[9223372036854775807,2],"data":[1]"#), "not possible"),
        ("a dimension that is no i64", input(r#""shape":[1e300,2],"data":[1]"#), "invalid type: floating point"),
        ("more than memory has", input(r#""shape":[1152921504606846976,2],"data":[1]"#), "not possible"),
        ("rows without end", input(r#""shape":[1099511627776,2],"data":[1]"#), "expected at most 1024"),
        ("NaN", input(r#""shape":[1,2],"data":[NaN,1]"#), "column"),
        ("Infinity", input(r#""shape":[1,2],"data":[-Infinity,1]"#), "column"),
        ("NaN as text", input(r#""shape":[1,2],"data":["NaN",1]"#), "which is no FP32"),
        (
            "a number that FP32 has not",
            input(r#""shape":[1,2],"data":[1e39,1]"#),
            "element 0 of the data is 1e39, which is no FP32",
        ),
        ("no UTF-8", [&input(r#""shape":[1,2]"#)[..20], b"\xff\xfe"].concat(), "column"),
        (
            "a name of half a character",
            br#"{"inputs":[{"name":"\ud800","datatype":"FP32","shape":[1,2],"data":[1,2]}]}"#.to_vec(),
            "column",
        ),
        (
            "a name without end",
            format!(r#"{{"inputs":[{{"name":"{}"#, "x".repeat(1 << 20)).into_bytes(),
            "EOF while parsing a string",
        ),
        ("a NUL", b"\0".to_vec(), "expected value"),
    ] {
        let error = refused(&running, body, None).await;
        assert!(error.contains(part), "{what}: {error}");
    }
    // Integers have no NaN in any form.
    let integers = server_of(Datatype::Int32).await;
    for data in ["NaN", "null", "1.0", "1e2", "2147483648", "\"1\""] {
        let body = format!(r#"{{"inputs":[{{"name":"x_INT32","datatype":"INT32","shape":[1,2],"data":[{data},1]}}]}}"#);
        let error = refused(&integers, body.into_bytes(), None).await;
        assert!(error.contains("no INT32") || error.contains("column"), "{data}: {error}");
    }
}

#[tokio::test]
async fn binary_tensors_that_do_not_add_up_are_refused() {
    let running = server().await;
    let head = |size: &str| {
        json!({"inputs": [{"name": "x_FP32", "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": size}}]})
            .to_string()
            .replace(&format!("{size:?}"), size)
    };
    for (what, head, bytes, length, part) in [
        ("a header longer than the body", head("8"), 8, Some(1 << 40), "the whole body has only"),
        ("a header that ends in the data", head("8"), 8, Some(head("8").len() + 3), "trailing characters"),
        ("less data than said", head("8"), 5, None, "only 5 bytes are left of the body"),
        ("more data than said", head("8"), 13, None, "5 bytes are left behind the last tensor"),
        ("a size that is not the shape's", head("12"), 12, None, "FP32 of shape [1, 2] has 8 bytes"),
        ("a size below zero", head("-8"), 8, None, "column"),
        ("a size that overflows", head("18446744073709551615"), 8, None, "FP32 of shape [1, 2] has 8 bytes"),
    ] {
        let length = length.unwrap_or(head.len());
        let error = refused(&running, [head.as_bytes(), &vec![0; bytes]].concat(), Some(length)).await;
        assert!(error.contains(part), "{what}: {error}");
    }
}

/// Over both protocols: strings that are cut off, or no text.
#[tokio::test]
async fn strings_that_are_none_are_refused() {
    let running = server_of(Datatype::Bytes).await;
    let mut client = running.grpc().await;
    for (what, data, part) in [
        ("cut off in a length", &[1, 0, 0, 0, b'a', 1, 0][..], "cut off: 2 bytes"),
        ("cut off in a string", &[1, 0, 0, 0, b'a', 2, 0, 0, 0, b'b'], "cut off: 5 bytes"),
        ("longer than all", &[255, 255, 255, 255, b'a'], "cut off: 5 bytes"),
        ("one too few", &[1, 0, 0, 0, b'a'], "1 strings; expected 2"),
        ("no UTF-8", &[1, 0, 0, 0, 0xff, 0, 0, 0, 0], "string 0 is no UTF-8"),
    ] {
        let head = json!({"inputs": [{"name": "x_BYTES", "datatype": "BYTES", "shape": [1, 2],
                                      "parameters": {"binary_data_size": data.len()}}]});
        let head = head.to_string();
        let error = refused(&running, [head.as_bytes(), data].concat(), Some(head.len())).await;
        assert!(error.contains(part), "{what}: {error}");
        let error = called(&client.model_infer(raw("x_BYTES", "BYTES", &[1, 2], data)).await.unwrap_err());
        assert!(error.contains(part), "{what}: {error}");
    }
}

fn raw(name: &str, datatype: &str, shape: &[i64], data: &[u8]) -> ModelInferRequest {
    let input =
        InferInputTensor { name: name.into(), datatype: datatype.into(), shape: shape.to_vec(), ..Default::default() };
    ModelInferRequest {
        model_name: MODEL.into(),
        inputs: vec![input],
        raw_input_contents: vec![Bytes::copy_from_slice(data)],
        ..Default::default()
    }
}

fn called(status: &Status) -> String {
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    status.message().to_owned()
}

#[tokio::test]
async fn bad_messages_are_refused() {
    let running = server().await;
    let mut client = running.grpc().await;
    let typed = |contents: InferTensorContents| {
        let mut request = raw("x_FP32", "FP32", &[1, 2], &[]);
        request.raw_input_contents.clear();
        request.inputs[0].contents = Some(contents);
        request
    };
    let mut both = typed(InferTensorContents { fp32_contents: vec![1.0, 2.0], ..Default::default() });
    both.raw_input_contents.push(Bytes::from_static(&[0; 8]));
    let mut twice = raw("x_FP32", "FP32", &[1, 2], &[0; 8]);
    twice.raw_input_contents.push(Bytes::from_static(&[0; 8]));
    for (what, request, part) in [
        ("a product that overflows", raw("x_FP32", "FP32", &[1 << 32, 1 << 32], &[0; 8]), "not possible"),
        ("a dimension below zero", raw("x_FP32", "FP32", &[-1, 2], &[0; 8]), "not possible"),
        ("more than memory has", raw("x_FP32", "FP32", &[1 << 60, 2], &[0; 8]), "not possible"),
        ("less data than the shape has", raw("x_FP32", "FP32", &[1, 2], &[0; 7]), "FP32 of shape [1, 2] has 8"),
        ("more data than the shape has", raw("x_FP32", "FP32", &[1, 2], &[0; 9]), "FP32 of shape [1, 2] has 8"),
        (
            "data of another type",
            typed(InferTensorContents { int_contents: vec![1, 2], ..Default::default() }),
            "data has 0 bytes",
        ),
        ("data twice", both, "expected one of them"),
        ("more data than inputs", twice, "2 entries for 1 inputs"),
        ("a name without end", raw(&"x".repeat(1 << 20), "FP32", &[1, 2], &[0; 8]), "is missing"),
    ] {
        let start = Instant::now();
        let error = called(&client.model_infer(request).await.unwrap_err());
        assert!(error.contains(part), "{what}: {error}");
        assert!(start.elapsed() < AT_ONCE, "{what}: {:?}", start.elapsed());
    }
    let booleans = server_of(Datatype::Bool).await;
    let error = called(&booleans.grpc().await.model_infer(raw("x_BOOL", "BOOL", &[1, 2], &[1, 2])).await.unwrap_err());
    assert!(error.contains("neither 0 nor 1"), "{error}");
}

/// What is no message at all is INTERNAL, as gRPC has it for every service (its statuscodes.md, "Could not decode").
#[tokio::test]
async fn what_is_no_message_is_refused() {
    let running = server().await;
    // Field 1, a string: no UTF-8; of a length that overflows; groups in groups; a field that ends in its key.
    for message in [&b"\x0a\x02\xff\xfe"[..], b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01x", &[0x2b; 4096], b"\x80"]
    {
        let frame = [&[0], (message.len() as u32).to_be_bytes().as_slice(), message].concat();
        let url = format!("http://{}/inference.GRPCInferenceService/ModelInfer", running.server.grpc);
        let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
        let request = client.post(url).header("content-type", "application/grpc").header("te", "trailers").body(frame);
        let response = timeout(request.send()).await;
        let status = response.headers()["grpc-status"].to_str().unwrap().to_owned();
        assert_eq!(status, "13", "{} {:?}", message.escape_ascii(), response.headers());
    }
    let response = running.client.get(running.url("/v2/health/live")).send().await.unwrap();
    assert_eq!(response.status(), 200);
}

async fn timeout(sent: impl Future<Output = reqwest::Result<reqwest::Response>>) -> reqwest::Response {
    tokio::time::timeout(AT_ONCE, sent).await.expect("no answer").unwrap()
}
