//! TensorFlow Serving's REST API.

use drydock_contract::Datatype;
use serde_json::{Value, json};

use crate::onnx::identities;
use crate::support::{MODEL, Package, REVISION, Running, image};

async fn post(running: &Running, path: &str, body: &Value) -> (u16, Value) {
    let response = running.client.post(running.url(path)).json(body).send().await.unwrap();
    assert_eq!(response.headers()["drydock-revision"], REVISION, "{path}");
    (response.status().as_u16(), response.json().await.unwrap())
}

/// An image as TensorFlow Serving's clients send it: nested.
pub(crate) fn nested(seed: usize) -> Value {
    json!([image(seed).chunks(28).collect::<Vec<_>>()])
}

#[tokio::test]
async fn predictions_are_the_answers_of_the_other_protocol() {
    let running = Running::start(&[]).await;
    let infer = json!({"inputs": [{"name": "input", "datatype": "FP32", "shape": [2, 1, 28, 28],
                                   "data": [nested(1), nested(2)]}]});
    let (_, answer) = post(&running, "/v2/models/fashion/infer", &infer).await;
    let logits = answer["outputs"][0]["data"].as_array().unwrap();
    let expected = json!([logits[..10], logits[10..]]);
    let rows = json!({"instances": [nested(1), nested(2)]});
    let named = json!({"signature_name": "serving_default",
                       "instances": [{"input": nested(1)}, {"input": nested(2)}]});
    let columns = json!({"inputs": {"input": [nested(1), nested(2)]}});
    for (path, body, member) in [
        ("/v1/models/fashion:predict", &rows, "predictions"),
        ("/v1/models/fashion/versions/r1:predict", &rows, "predictions"),
        ("/v1/models/fashion:predict", &named, "predictions"),
        ("/v1/models/fashion:predict", &columns, "outputs"),
    ] {
        assert_eq!(post(&running, path, body).await, (200, json!({member: expected})), "{path}");
    }
}

#[tokio::test]
async fn several_inputs_of_several_datatypes_go_by_name() {
    let datatypes = [Datatype::Int64, Datatype::Bytes, Datatype::Fp16, Datatype::Bool];
    let (model, inputs, outputs) = identities(&datatypes);
    let running = Running::serve(Package::of(&model, inputs, outputs, vec![]), &[]).await;
    let row = |i: i64| json!({"x_INT64": [i, i64::MAX], "x_BYTES": ["é", ""], "x_FP16": [0.5, -2.0], "x_BOOL": [true, false]});
    let renamed = |row: Value| -> Value {
        row.as_object().unwrap().iter().map(|(name, v)| (name.replace('x', "y"), v.clone())).collect()
    };
    let body = json!({"instances": [row(1), row(2)]});
    let expected = json!({"predictions": [renamed(row(1)), renamed(row(2))]});
    assert_eq!(post(&running, "/v1/models/fashion:predict", &body).await, (200, expected));

    let columns = json!({"inputs": {"x_INT64": [[1, 2]], "x_BYTES": [[{"b64": "w6k="}, "b"]], "x_FP16": [[1, 2]],
                                    "x_BOOL": [[true, true]]}});
    let expected = json!({"outputs": {"y_INT64": [[1, 2]], "y_BYTES": [["é", "b"]], "y_FP16": [[1.0, 2.0]],
                                      "y_BOOL": [[true, true]]}});
    assert_eq!(post(&running, "/v1/models/fashion:predict", &columns).await, (200, expected));
}

#[tokio::test]
async fn the_status_is_told_and_what_is_wrong() {
    let running = Running::start(&[]).await;
    let get = async |path: &str| {
        let response = running.client.get(running.url(path)).send().await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap())
    };
    let status = json!({"name": MODEL, "ready": true, "model_version_status": [
        {"version": "r1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}]});
    assert_eq!(get("/v1/models/fashion").await, (200, status.clone()));
    assert_eq!(get("/v1/models/fashion/versions/r1").await, (200, status));
    assert_eq!(get("/v1/models/other").await.0, 404);

    let deep = format!(r#"{{"instances":{}"#, "[".repeat(100_000));
    for (path, body, status, message) in [
        ("/v1/models/fashion:predict", "{}", 400, "one of instances and inputs"),
        ("/v1/models/fashion:predict", r#"{"instances":[[1,2]]}"#, 400, "shape is [1, 2]; expected [-1, 1, 28, 28]"),
        ("/v1/models/fashion:predict", r#"{"instances":[NaN]}"#, 400, "column"),
        ("/v1/models/fashion:predict", &deep, 400, "column"),
        ("/v1/models/other:predict", "{}", 404, "expected \"fashion\""),
        ("/v1/models/fashion/versions/2:predict", "{}", 404, "expected \"r1\""),
        ("/v1/models/fashion:classify", "{}", 404, "expected POST"),
        ("/v1/models/fashion", "{}", 404, "expected POST"),
    ] {
        let response = running.client.post(running.url(path)).body(body.to_owned()).send().await.unwrap();
        let (found, body) = (response.status().as_u16(), response.json::<Value>().await.unwrap());
        assert_eq!(found, status, "{path}: {body}");
        assert!(body["error"].as_str().unwrap().contains(message), "{path}: {body}");
    }
}
