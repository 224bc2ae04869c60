//! The served model over REST and gRPC: the same answers, and the same refusals of wrong requests.

use anyhow::{Context as _, Result};
use drydock_e2e::forward::Forward;
use drydock_e2e::grpc::proto::ModelMetadataRequest;
use drydock_e2e::{fashion, grpc, oip};
use serde_json::{Value, json};
use tonic::{Code, Status};

use crate::support::{served, space};

/// A request that is wrong in one way, and what the refusal must name.
struct Wrong {
    what: &'static str,
    name: &'static str,
    datatype: &'static str,
    shape: [i64; 4],
    values: usize,
    expected: &'static str,
}

fn wrong() -> Vec<Wrong> {
    let good =
        |what, expected| Wrong { what, name: "input", datatype: "FP32", shape: [1, 1, 28, 28], values: 784, expected };
    vec![
        Wrong { name: "image", ..good("a wrong name", "\"input\"") },
        Wrong { datatype: "INT32", ..good("a wrong datatype", "expected FP32") },
        Wrong { shape: [1, 1, 14, 56], ..good("a wrong shape", "expected [-1, 1, 28, 28]") },
        Wrong { shape: [1, 3, 28, 28], values: 3 * 784, ..good("three channels", "expected [-1, 1, 28, 28]") },
        Wrong { values: 2, ..good("too few values", "[1, 1, 28, 28] has") },
        Wrong { shape: [-1, 1, 28, 28], ..good("a negative dimension", "not possible") },
        Wrong { shape: [i64::MAX, 1, 28, 28], ..good("a product that overflows", "not possible") },
    ]
}

impl Wrong {
    async fn rest(&self, http: &reqwest::Client, base: &str) -> Result<String> {
        let body = json!({"inputs": [{"name": self.name, "shape": self.shape, "datatype": self.datatype,
            "data": vec![0; self.values]}]});
        let answer = http.post(format!("{base}/v2/models/model/infer")).json(&body).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        assert_eq!(status, 400, "{}: {text}", self.what);
        let error: Value = serde_json::from_str(&text).with_context(|| format!("{}: {text}", self.what))?;
        Ok(error["error"].as_str().context("no error")?.to_owned())
    }

    async fn grpc(&self, client: &grpc::Client) -> Result<String> {
        let mut request = grpc::request("model", &vec![0; self.values * 4]);
        for input in &mut request.inputs {
            (input.name, input.datatype) = (self.name.into(), self.datatype.into());
            input.shape = self.shape.into();
        }
        let status = refused(client.clone().model_infer(request).await, self.what)?;
        assert_eq!(status.code(), Code::InvalidArgument, "{}: {status}", self.what);
        Ok(status.message().to_owned())
    }
}

fn refused<T>(answer: Result<T, Status>, what: &str) -> Result<Status> {
    answer.err().with_context(|| format!("{what}: answered over gRPC"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_protocols_answer_right_ones_and_refuse_wrong_ones() -> Result<()> {
    let space = space("requests").await?;
    served(&space, &json!({})).await?;
    let forward = Forward::to(&space, "model").await?;
    let (base, http, client) = (&forward.http, oip::client().build()?, grpc::client(&forward.grpc)?);

    let (mut correct, samples) = (0, fashion::evaluation(200)?);
    for sample in &samples {
        let rest = oip::infer(&http, base, "model", &sample.tensor()).await?;
        let grpc = grpc::infer(&client, "model", &sample.tensor()).await?;
        assert_eq!(rest.scores, grpc.scores, "REST and gRPC differ");
        assert_eq!(rest.revision, grpc.revision);
        correct += usize::from(rest.class == sample.label);
    }
    println!("{correct} of {} images right, over REST and gRPC", samples.len());
    assert!(correct >= 170, "{correct} of 200 images right, where the model has 90.8 %");

    let metadata: Value = http.get(format!("{base}/v2/models/model")).send().await?.json().await?;
    assert_eq!(metadata["inputs"][0], json!({"name": "input", "datatype": "FP32", "shape": [-1, 1, 28, 28]}));
    let model = ModelMetadataRequest { name: "model".into(), ..ModelMetadataRequest::default() };
    let metadata = client.clone().model_metadata(model).await?.into_inner();
    let input = metadata.inputs.first().context("no input")?;
    assert_eq!((input.name.as_str(), input.datatype.as_str()), ("input", "FP32"));
    assert_eq!(input.shape, [-1, 1, 28, 28]);

    for wrong in wrong() {
        for error in [wrong.rest(&http, base).await?, wrong.grpc(&client).await?] {
            assert!(error.contains(wrong.expected), "{}: {error}", wrong.what);
        }
    }
    let url = format!("{base}/v2/models/model/infer");
    let answer = http.post(&url).body("{\"inputs\": [").send().await?;
    assert_eq!(answer.status(), 400);
    let answer = http.post(format!("{base}/v2/models/other/infer")).json(&json!({"inputs": []})).send().await?;
    assert_eq!(answer.status(), 404);
    let other = client.clone().model_infer(grpc::request("other", &[])).await;
    assert_eq!(refused(other, "another model")?.code(), Code::NotFound);

    // One byte over what a sidecar takes by default.
    let limit = 16 << 20;
    let answer = http.post(&url).body(vec![b' '; limit + 1]).send().await?;
    let (status, text) = (answer.status(), answer.text().await?);
    assert_eq!(status, 400, "{text}");
    assert!(text.contains(&limit.to_string()), "{text}");
    let status = client.clone().model_infer(grpc::request("model", &vec![0; limit])).await;
    let status = refused(status, "a message over the limit")?;
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    assert!(status.message().contains(&limit.to_string()), "{status}");

    // And the server lives on.
    grpc::infer(&client, "model", &samples.first().context("no image")?.tensor()).await?;
    space.delete().await
}
