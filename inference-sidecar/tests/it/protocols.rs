use inference_sidecar::Phase;
use inference_sidecar::proto::grpc_inference_service_client::GrpcInferenceServiceClient;
use inference_sidecar::proto::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
use inference_sidecar::proto::{
    InferTensorContents, ModelInferRequest, ModelInferResponse, ModelMetadataRequest, ModelReadyRequest,
    ServerLiveRequest, ServerMetadataRequest, ServerReadyRequest,
};
use serde_json::{Value, json};
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::support::{MODEL, REVISION, Running, bytes, image, json_body};

/// What works, and nothing else.
const EXTENSIONS: [&str; 3] = ["binary_tensor_data", "classification", "statistics"];
const HEADER_LENGTH: &str = "Inference-Header-Content-Length";

/// One request, said in three ways, and what must come of it.
struct Case {
    what: &'static str,
    name: &'static str,
    datatype: &'static str,
    shape: Vec<i64>,
    data: Vec<f32>,
    outputs: Vec<&'static str>,
    /// Part of the error, if it is one.
    error: Option<&'static str>,
}

fn cases() -> Vec<Case> {
    let good = |what| Case {
        what,
        name: "input",
        datatype: "FP32",
        shape: vec![1, 1, 28, 28],
        data: image(1),
        outputs: vec![],
        error: None,
    };
    let two = [image(1), image(2)].concat();
    vec![
        good("one image"),
        Case { shape: vec![2, 1, 28, 28], data: two, ..good("two images") },
        Case { outputs: vec!["logits"], ..good("a named output") },
        Case { name: "x", error: Some("\"input\" is missing"), ..good("a wrong name") },
        Case { datatype: "INT32", error: Some("expected FP32"), ..good("a wrong datatype") },
        Case { datatype: "FP31", error: Some("unknown datatype"), ..good("an unknown datatype") },
        Case { datatype: "BYTES", error: Some("BYTES"), ..good("strings") },
        Case { shape: vec![1, 28, 28], error: Some("expected [-1, 1, 28, 28]"), ..good("a wrong rank") },
        Case { shape: vec![1, 1, 14, 56], error: Some("expected [-1, 1, 28, 28]"), ..good("a wrong shape") },
        Case { shape: vec![2, 1, 28, 28], error: Some("has"), ..good("too few elements") },
        Case { shape: vec![-1, 1, 28, 28], error: Some("not possible"), ..good("a negative dimension") },
        Case { shape: vec![0, 1, 28, 28], data: vec![], error: Some("not possible"), ..good("no image") },
        Case { shape: vec![i64::MAX, 1, 28, 28], error: Some("not possible"), ..good("a shape that overflows") },
        Case { outputs: vec!["y"], error: Some("expected one of logits"), ..good("an unknown output") },
    ]
}

impl Case {
    fn integers(&self) -> Vec<i64> {
        self.data.iter().map(|v| *v as i64).collect()
    }

    async fn json(&self, running: &Running) -> Result<Vec<f32>, String> {
        let data = if self.datatype == "INT32" { json!(self.integers()) } else { json!(self.data) };
        let outputs: Vec<Value> = self.outputs.iter().map(|o| json!({"name": o})).collect();
        let body = json!({
            "id": "42",
            "inputs": [{"name": self.name, "datatype": self.datatype, "shape": self.shape, "data": data}],
            "outputs": outputs,
        });
        let response = running.client.post(running.infer_url()).json(&body).send().await.unwrap();
        assert_eq!(response.headers()["drydock-revision"], REVISION);
        let (status, body): (u16, Value) = (response.status().as_u16(), response.json().await.unwrap());
        if status != 200 {
            assert_eq!(status, 400, "{}: {body}", self.what);
            return Err(body["error"].as_str().unwrap().to_owned());
        }
        assert_eq!(
            (&body["id"], &body["model_name"], &body["model_version"]),
            (&json!("42"), &json!(MODEL), &json!(REVISION))
        );
        let output = &body["outputs"][0];
        assert_eq!((&output["name"], &output["datatype"]), (&json!("logits"), &json!("FP32")));
        assert_eq!(output["shape"], json!([self.shape[0], 10]));
        Ok(serde_json::from_value(output["data"].clone()).unwrap())
    }

    async fn binary(&self, running: &Running) -> Result<Vec<f32>, String> {
        let data = bytes(&self.data);
        let outputs: Vec<Value> =
            self.outputs.iter().map(|o| json!({"name": o, "parameters": {"binary_data": true}})).collect();
        let header = json!({
            "id": "42",
            "parameters": {"binary_data_output": true},
            "inputs": [{"name": self.name, "datatype": self.datatype, "shape": self.shape,
                        "parameters": {"binary_data_size": data.len()}}],
            "outputs": outputs,
        })
        .to_string();
        let response = running
            .client
            .post(running.infer_url())
            .header(HEADER_LENGTH, header.len())
            .body([header.as_bytes(), &data].concat())
            .send()
            .await
            .unwrap();
        if response.status() != 200 {
            assert_eq!(response.status(), 400, "{}", self.what);
            let body: Value = response.json().await.unwrap();
            return Err(body["error"].as_str().unwrap().to_owned());
        }
        assert_eq!(response.headers()["content-type"], "application/octet-stream");
        let length: usize = response.headers()[HEADER_LENGTH].to_str().unwrap().parse().unwrap();
        let body = response.bytes().await.unwrap();
        let header: Value = serde_json::from_slice(&body[..length]).unwrap();
        let data = &body[length..];
        assert_eq!(header["id"], "42");
        assert_eq!(header["outputs"][0]["parameters"]["binary_data_size"], data.len());
        Ok(floats(data))
    }

    fn message(&self, raw: bool) -> ModelInferRequest {
        let contents = InferTensorContents {
            fp32_contents: if self.datatype == "FP32" { self.data.clone() } else { vec![] },
            int_contents: if self.datatype == "INT32" { vec![0; self.data.len()] } else { vec![] },
            ..Default::default()
        };
        ModelInferRequest {
            model_name: MODEL.into(),
            id: "42".into(),
            inputs: vec![InferInputTensor {
                name: self.name.into(),
                datatype: self.datatype.into(),
                shape: self.shape.clone(),
                contents: (!raw).then_some(contents),
                ..Default::default()
            }],
            outputs: self
                .outputs
                .iter()
                .map(|o| InferRequestedOutputTensor { name: (*o).into(), ..Default::default() })
                .collect(),
            raw_input_contents: if raw { vec![bytes(&self.data).into()] } else { vec![] },
            ..Default::default()
        }
    }

    async fn grpc(&self, client: &mut GrpcInferenceServiceClient<Channel>, raw: bool) -> Result<Vec<f32>, String> {
        match client.model_infer(self.message(raw)).await {
            Err(status) => {
                assert_eq!(status.code(), Code::InvalidArgument, "{}: {status}", self.what);
                assert_eq!(status.metadata().get("drydock-revision").unwrap(), REVISION);
                Err(status.message().to_owned())
            }
            Ok(response) => {
                assert_eq!(response.metadata().get("drydock-revision").unwrap(), REVISION);
                let response: ModelInferResponse = response.into_inner();
                assert_eq!((response.id.as_str(), response.model_version.as_str()), ("42", REVISION));
                let output = response.outputs.into_iter().next().unwrap();
                assert_eq!(output.shape, [self.shape[0], 10]);
                // Raw for raw, typed for typed.
                Ok(match output.contents {
                    Some(contents) if !raw => contents.fp32_contents,
                    None if raw => floats(&response.raw_output_contents[0]),
                    contents => panic!("{contents:?}"),
                })
            }
        }
    }
}

fn floats(data: &[u8]) -> Vec<f32> {
    data.as_chunks::<4>().0.iter().map(|c| f32::from_le_bytes(*c)).collect()
}

#[tokio::test]
async fn all_protocols_give_the_same_answers() {
    let running = Running::start(&[]).await;
    let mut client = running.grpc().await;
    let mut first = None;
    for case in cases() {
        let answers = [
            case.json(&running).await,
            case.binary(&running).await,
            case.grpc(&mut client, true).await,
            case.grpc(&mut client, false).await,
        ];
        if let Some(expected) = case.error {
            for answer in answers {
                let error = answer.expect_err(case.what);
                assert!(error.contains(expected), "{}: {error}", case.what);
            }
            continue;
        }
        let logits = answers[0].clone().expect(case.what);
        for answer in &answers {
            assert_eq!(answer.as_ref(), Ok(&logits), "{}", case.what);
        }
        // The same image, alone or first of two.
        let first = first.get_or_insert_with(|| logits[..10].to_vec());
        assert!(logits[..10].iter().zip(first).all(|(a, b)| (a - *b).abs() < 1e-3), "{}", case.what);
    }
}

#[tokio::test]
async fn the_paths_of_the_protocol_answer() {
    let running = Running::start(&[]).await;
    let digest = running.package.digest.to_string();
    let metadata = json!({
        "name": MODEL, "versions": [REVISION], "platform": "onnx_onnxv1", "properties": {"digest": digest, "execution_provider": "CPUExecutionProvider"},
        "inputs": [{"name": "input", "datatype": "FP32", "shape": [-1, 1, 28, 28]}],
        "outputs": [{"name": "logits", "datatype": "FP32", "shape": [-1, 10]}],
    });
    let server = json!({"name": "drydock-inference-sidecar", "version": env!("CARGO_PKG_VERSION"),
                        "extensions": EXTENSIONS});
    for (path, status, body) in [
        ("/v2", 200, Some(server)),
        ("/v2/health/live", 200, Some(json!({"live": true}))),
        ("/v2/health/ready", 200, Some(json!({"ready": true}))),
        ("/v2/models/fashion", 200, Some(metadata.clone())),
        ("/v2/models/fashion/versions/r1", 200, Some(metadata)),
        ("/v2/models/fashion/ready", 200, Some(json!({"name": MODEL, "ready": true}))),
        ("/v2/models/fashion/versions/r1/ready", 200, Some(json!({"name": MODEL, "ready": true}))),
        ("/v2/models/other", 404, None),
        ("/v2/models/fashion/versions/1/ready", 404, None),
        ("/v2/models/fashion/infer", 405, None),
        ("/v1", 404, None),
    ] {
        let response = running.client.get(running.url(path)).send().await.unwrap();
        assert_eq!(response.status(), status, "{path}");
        assert_eq!(response.headers()["drydock-revision"], REVISION, "{path}");
        let found: Value = response.json().await.unwrap();
        match body {
            Some(body) => assert_eq!(found, body, "{path}"),
            None => assert!(found["error"].is_string(), "{path}: {found}"),
        }
    }

    running.lifecycle.advance(Phase::LameDuck);
    for (path, status) in [("/v2/health/live", 200), ("/v2/health/ready", 503), ("/v2/models/fashion/ready", 503)] {
        let response = running.client.get(running.url(path)).send().await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["connection"]),
            (status, &"close".parse().unwrap())
        );
    }
    let response = running.client.post(running.infer_url()).json(&json_body(&image(1))).send().await.unwrap();
    assert_eq!(response.status(), 200, "a lame duck still answers");
}

#[tokio::test]
async fn the_calls_of_the_grpc_service_answer() {
    let running = Running::start(&[]).await;
    let mut client = running.grpc().await;
    assert!(client.server_live(ServerLiveRequest {}).await.unwrap().into_inner().live);
    assert!(client.server_ready(ServerReadyRequest {}).await.unwrap().into_inner().ready);
    let server = client.server_metadata(ServerMetadataRequest {}).await.unwrap().into_inner();
    assert_eq!(server.extensions, EXTENSIONS);

    let not_found = |e: Status| assert_eq!(e.code(), Code::NotFound);
    for (name, version, found) in [(MODEL, "", true), (MODEL, REVISION, true), (MODEL, "1", false), ("x", "", false)] {
        let (name, version) = (name.to_owned(), version.to_owned());
        match client.model_ready(ModelReadyRequest { name: name.clone(), version: version.clone() }).await {
            Ok(response) => assert!(found && response.into_inner().ready),
            Err(e) => (assert!(!found), not_found(e)).1,
        }
        match client.model_metadata(ModelMetadataRequest { name: name.clone(), version: version.clone() }).await {
            Ok(response) => {
                let metadata = response.into_inner();
                assert_eq!(metadata.inputs[0].shape, [-1, 1, 28, 28]);
                assert_eq!(
                    (metadata.platform.as_str(), metadata.versions.as_slice()),
                    ("onnx_onnxv1", &[REVISION.to_owned()][..])
                );
            }
            Err(e) => (assert!(!found), not_found(e)).1,
        }
        let request = ModelInferRequest { model_name: name, model_version: version, ..cases()[0].message(true) };
        match client.model_infer(request).await {
            Ok(_) => assert!(found),
            Err(e) => (assert!(!found), not_found(e)).1,
        }
    }
}

#[tokio::test]
async fn bad_bodies_are_refused_and_the_server_lives_on() {
    let running = Running::start(&["--max-body-bytes", "20000"]).await;
    let good = json_body(&image(1)).to_string();
    let deep = format!("{{\"inputs\":{}", "[".repeat(10_000));
    for (what, body, header_length, status, message) in [
        ("empty", "", None, 400, "line 1 column 0"),
        ("cut", &good[..good.len() - 3], None, 400, "column"),
        ("deep", &deep, None, 400, "column"),
        ("too large", &"x".repeat(20_001), None, 400, "larger than 20000 bytes"),
        ("header too long", &good, Some("999999"), 400, "the whole body has only"),
        ("header no number", &good, Some("1x"), 400, "expected a number"),
    ] {
        let mut request = running.client.post(running.infer_url()).body(body.to_owned());
        if let Some(length) = header_length {
            request = request.header(HEADER_LENGTH, length);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), status, "{what}");
        let body: Value = response.json().await.unwrap();
        assert!(body["error"].as_str().unwrap().contains(message), "{what}: {body}");
    }
    let response =
        running.client.post(running.infer_url()).header("content-encoding", "br").body("x").send().await.unwrap();
    assert_eq!(
        (response.status(), &response.headers()["accept-encoding"]),
        (415.try_into().unwrap(), &"gzip, deflate, zstd".parse().unwrap())
    );

    let mut client = running.grpc().await;
    let large = Case { data: vec![0.0; 10_000], ..cases().remove(0) };
    let status = client.model_infer(large.message(true)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("larger than 20000 bytes"), "{status}");
    assert_eq!(status.metadata().get("drydock-revision").unwrap(), REVISION);

    let response = running.client.post(running.infer_url()).body(good).send().await.unwrap();
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn metrics_count_what_was_answered() {
    let running = Running::start(&["--batch-max-size", "4"]).await;
    for (body, status) in [(json_body(&image(1)), 200), (json!({}), 400)] {
        let response = running.client.post(running.infer_url()).json(&body).send().await.unwrap();
        assert_eq!(response.status(), status);
    }
    running.grpc().await.model_infer(cases()[0].message(true)).await.unwrap();
    let text = running.client.get(running.admin("/metrics")).send().await.unwrap().text().await.unwrap();
    let digest = running.package.digest.to_string();
    for line in [
        r#"drydock_requests_total{revision="r1",protocol="http",code="200"} 1"#,
        r#"drydock_requests_total{revision="r1",protocol="http",code="400"} 1"#,
        r#"drydock_requests_total{revision="r1",protocol="grpc",code="Ok"} 1"#,
        r#"drydock_request_duration_seconds_count{revision="r1",protocol="http"} 2"#,
        "drydock_inference_duration_seconds_count 2",
        "drydock_batch_size_sum 2.0",
        "drydock_queue_length 0",
        &format!(r#"digest="{digest}",candidate="original",recipe="none""#),
        "# EOF",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    let health = running.client.get(running.admin("/healthz")).send().await.unwrap();
    assert_eq!(health.status(), 200);
}
