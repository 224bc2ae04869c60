//! Classification, statistics, the repository's index, and reflection, as tests in Rust see them; `triton.rs` has the real client.

use drydock_contract::Datatype;
use inference_sidecar::Phase;
use inference_sidecar::proto::infer_parameter::ParameterChoice;
use inference_sidecar::proto::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
use inference_sidecar::proto::{
    InferParameter, InferTensorContents, ModelInferRequest, ModelStatisticsRequest, RepositoryIndexRequest,
};
use serde_json::{Value, json};
use tonic::transport::Endpoint;
use tonic::{Code, Request};
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::onnx::identities;
use crate::support::{MODEL, Package, Running, image, json_body};

async fn int8(name: &str) -> Running {
    let (model, inputs, outputs) = identities(&[Datatype::Int8]);
    Running::serve(Package::of(&model, inputs, outputs, vec!["no".into(), "yes".into()]), &["--model-name", name]).await
}

#[tokio::test]
async fn classes_come_in_place_of_values() {
    let running = int8(MODEL).await;
    let body = |classes: Value| {
        json!({"inputs": [{"name": "x_INT8", "datatype": "INT8", "shape": [2, 2], "data": [-1, 7, 3, 3]}],
               "outputs": [{"name": "y_INT8", "parameters": {"classification": classes}}]})
    };
    let post = async |body: Value| {
        let response = running.client.post(running.infer_url()).json(&body).send().await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap())
    };
    let output = json!({"name": "y_INT8", "datatype": "BYTES", "shape": [2, 1], "data": ["7:1:yes", "3:0:no"]});
    let (status, answer) = post(body(json!(1))).await;
    assert_eq!((status, &answer["outputs"][0]), (200, &output));
    let (_, answer) = post(body(json!(0))).await;
    assert_eq!(answer["outputs"][0]["datatype"], "INT8", "0 is none");
    let (status, answer) = post(body(json!("1"))).await;
    assert!(status == 400 && answer["error"].as_str().unwrap().contains("column"), "{answer}");

    let mut client = running.grpc().await;
    let message = |choice| {
        let contents = InferTensorContents { int_contents: vec![-1, 7], ..Default::default() };
        let input = InferInputTensor {
            name: "x_INT8".into(),
            datatype: "INT8".into(),
            shape: vec![1, 2],
            contents: Some(contents),
            ..Default::default()
        };
        let parameters = [("classification".to_owned(), InferParameter { parameter_choice: Some(choice) })].into();
        let output = InferRequestedOutputTensor { name: "y_INT8".into(), parameters };
        ModelInferRequest { model_name: MODEL.into(), inputs: vec![input], outputs: vec![output], ..Default::default() }
    };
    let answer = client.model_infer(message(ParameterChoice::Int64Param(2))).await.unwrap().into_inner();
    let contents = answer.outputs[0].contents.clone().unwrap().bytes_contents;
    assert_eq!((answer.outputs[0].shape.as_slice(), contents), (&[1, 2][..], vec!["7:1:yes".into(), "-1:0:no".into()]));
    for choice in [ParameterChoice::Int64Param(-1), ParameterChoice::StringParam("1".into())] {
        let status = client.model_infer(message(choice)).await.unwrap_err();
        assert!(status.code() == Code::InvalidArgument && status.message().contains("expected"), "{status}");
    }
}

#[tokio::test]
async fn statistics_count_requests_and_rows() {
    let running = Running::start(&[]).await;
    let get = async |path: &str| {
        let response = running.client.get(running.url(path)).send().await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap())
    };
    let before = &get("/v2/models/fashion/stats").await.1["model_stats"][0];
    assert_eq!((&before["inference_count"], &before["last_inference"]), (&json!(0), &json!(0)));
    for _ in 0..2 {
        let response = running.client.post(running.infer_url()).json(&json_body(&image(1))).send().await.unwrap();
        assert_eq!(response.status(), 200);
    }
    // What never reaches the model is not counted.
    running.client.post(running.infer_url()).body("{}").send().await.unwrap();
    for path in ["/v2/models/stats", "/v2/models/fashion/stats", "/v2/models/fashion/versions/r1/stats"] {
        let (status, body) = get(path).await;
        let stat = &body["model_stats"][0];
        let count = |name: &str| stat["inference_stats"][name]["count"].clone();
        assert_eq!((status, &stat["inference_count"], &stat["execution_count"]), (200, &json!(2), &json!(2)), "{path}");
        assert_eq!((count("success"), count("fail"), count("compute_infer")), (json!(2), json!(0), json!(2)), "{path}");
        assert_eq!(stat["batch_stats"][0]["batch_size"], 1, "{path}");
    }
    assert_eq!(get("/v2/models/other/stats").await.0, 404);
    assert_eq!(get("/v2/models/fashion/versions/2/stats").await.0, 404);

    let mut client = running.grpc().await;
    let request = |name: &str| ModelStatisticsRequest { name: name.into(), version: String::new() };
    for name in ["", MODEL] {
        let stats = client.model_statistics(request(name)).await.unwrap().into_inner().model_stats;
        assert_eq!((stats.len(), stats[0].inference_count, stats[0].batch_stats.len()), (1, 2, 1));
    }
    assert_eq!(client.model_statistics(request("other")).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn the_index_tells_what_is_ready() {
    let running = Running::start(&[]).await;
    let index = async |body: &'static str| {
        let response = running.client.post(running.url("/v2/repository/index")).body(body).send().await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap())
    };
    let ready = json!([{"name": MODEL, "version": "r1", "state": "READY", "reason": ""}]);
    for body in ["", "{}", r#"{"ready":true}"#] {
        assert_eq!(index(body).await, (200, ready.clone()), "{body}");
    }
    assert_eq!(index(r#"{"ready":1}"#).await.0, 400);
    running.lifecycle.advance(Phase::LameDuck);
    let (_, all) = index("").await;
    assert_eq!(all[0]["state"], "UNAVAILABLE");
    assert_eq!(index(r#"{"ready":true}"#).await.1, json!([]));

    let mut client = running.grpc().await;
    let request = |ready| RepositoryIndexRequest { ready, ..Default::default() };
    let models = client.repository_index(request(false)).await.unwrap().into_inner().models;
    assert_eq!((models[0].name.as_str(), models[0].state.as_str()), (MODEL, "UNAVAILABLE"));
    assert!(client.repository_index(request(true)).await.unwrap().into_inner().models.is_empty());
}

/// As grpcurl asks: one question, an answer, and only then the end.
#[tokio::test]
async fn reflection_tells_the_services() {
    let running = Running::start(&[]).await;
    let channel = Endpoint::from_shared(format!("http://{}", running.server.grpc)).unwrap().connect().await.unwrap();
    let mut client = ServerReflectionClient::new(channel);
    let (send, questions) = tokio::sync::mpsc::channel(1);
    let ask = |message_request| ServerReflectionRequest { host: String::new(), message_request: Some(message_request) };
    send.send(ask(MessageRequest::ListServices(String::new()))).await.unwrap();
    let questions =
        futures::stream::unfold(questions, async |mut questions| Some((questions.recv().await?, questions)));
    let mut answers = client.server_reflection_info(Request::new(questions)).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response.unwrap();
    let MessageResponse::ListServicesResponse(list) = answer else { panic!("{answer:?}") };
    let mut names: Vec<_> = list.service.into_iter().map(|s| s.name).collect();
    names.sort();
    assert_eq!(
        names,
        ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "inference.GRPCInferenceService"]
    );

    let symbol = "inference.GRPCInferenceService.ModelInfer".to_owned();
    send.send(ask(MessageRequest::FileContainingSymbol(symbol))).await.unwrap();
    let answer = answers.message().await.unwrap().unwrap().message_response.unwrap();
    assert!(matches!(answer, MessageResponse::FileDescriptorResponse(_)), "{answer:?}");
}
