//! How long a client waits, as each protocol has it.

use std::time::Duration;

use serde_json::json;
use tonic::{Code, Request};

use crate::support::{Running, image, json_body, message};

/// An hour is enough; a microsecond is not, whoever says it.
#[tokio::test]
async fn who_cannot_wait_is_told_so_over_both_protocols() {
    let running = Running::start(&[]).await;
    let (url, body) = (running.infer_url(), json_body(&image(1)));
    let with = |timeout: serde_json::Value| {
        let mut body = body.clone();
        body["parameters"] = json!({"timeout": timeout});
        body
    };
    for (header, body, expected) in [
        (None, with(json!(1)), 504),
        (None, with(json!(3_600_000_000_u64)), 200),
        (None, with(json!(0)), 200),
        (None, with(json!("soon")), 400),
        (None, with(json!(-1)), 400),
        (Some(("x-envoy-expected-rq-timeout-ms", "3600000")), body.clone(), 200),
        (Some(("x-envoy-expected-rq-timeout-ms", "soon")), body.clone(), 400),
        (Some(("grpc-timeout", "1n")), body.clone(), 504),
    ] {
        let mut request = running.client.post(&url).json(&body);
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), expected, "{header:?} {}", body["parameters"]);
    }
    let path = running.url("/v1/models/fashion:predict");
    let rows = json!({"instances": [[vec![vec![0.0; 28]; 28]]]});
    let response = running.client.post(&path).header("grpc-timeout", "1n").json(&rows).send().await.unwrap();
    assert_eq!(response.status(), 504);

    let mut client = running.grpc().await;
    let called = |timeout: Option<Duration>, parameter: Option<i64>| {
        use inference_sidecar::proto::{InferParameter, infer_parameter::ParameterChoice};
        let mut message = message(&image(1));
        if let Some(t) = parameter {
            let parameter_choice = Some(ParameterChoice::Int64Param(t));
            message.parameters.insert("timeout".into(), InferParameter { parameter_choice });
        }
        let mut request = Request::new(message);
        if let Some(t) = timeout {
            request.set_timeout(t);
        }
        request
    };
    let hour = Duration::from_secs(3600);
    for (request, expected) in [
        (called(None, Some(1)), Code::DeadlineExceeded),
        (called(Some(hour), Some(1)), Code::DeadlineExceeded),
        (called(Some(hour), Some(0)), Code::Ok),
        (called(None, Some(-1)), Code::InvalidArgument),
    ] {
        let code = client.model_infer(request).await.map_or_else(|e| e.code(), |_| Code::Ok);
        assert_eq!(code, expected);
    }
    let metrics = running.client.get(running.admin("/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains(r#"code="504""#) && metrics.contains(r#"code="DeadlineExceeded""#), "{metrics}");
}
