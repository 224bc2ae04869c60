//! A small client of the Open Inference Protocol, REST with binary tensors.

use anyhow::{Context as _, Result, bail};
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use serde_json::{Value, json};

/// What came back for one image.
#[derive(Clone, Debug)]
pub struct Answer {
    pub class: usize,
    /// The first output's values.
    pub scores: Vec<f32>,
    /// The revision that answered, as the response header names it.
    pub revision: String,
}

impl Answer {
    pub(crate) fn new(scores: Vec<f32>, revision: String) -> Result<Self> {
        let class = (0..scores.len()).max_by(|a, b| scores[*a].total_cmp(&scores[*b])).context("an empty output")?;
        Ok(Self { class, scores, revision })
    }
}

/// A client to build on: no proxy between it and the cluster.
pub fn client() -> reqwest::ClientBuilder {
    // reqwest has TLS by the workspace's features, and wants a provider for it; one that is there already is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy()
}

/// Body and length of its JSON part for one FP32 image of shape [1, 1, 28, 28].
pub fn binary_request(tensor: &[u8]) -> (Vec<u8>, usize) {
    let head = json!({"inputs": [{"name": "input", "shape": [1, 1, 28, 28], "datatype": "FP32",
        "parameters": {"binary_data_size": tensor.len()}}]})
    .to_string();
    let length = head.len();
    ([head.into_bytes(), tensor.to_vec()].concat(), length)
}

pub async fn infer(http: &reqwest::Client, base: &str, model: &str, tensor: &[u8]) -> Result<Answer> {
    let (body, header_length) = binary_request(tensor);
    let response = http
        .post(format!("{base}/v2/models/{model}/infer"))
        .header(CONTENT_TYPE, "application/octet-stream")
        .header("inference-header-content-length", header_length)
        .body(body)
        .send()
        .await
        .map_err(|e| anyhow::anyhow!("no answer: {}", chain(&e)))?;
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await.map_err(|e| anyhow::anyhow!("answer broke off: {}", chain(&e)))?;
    if !status.is_success() {
        bail!("HTTP {status}: {text}");
    }
    answer(&headers, &text)
}

fn answer(headers: &HeaderMap, text: &str) -> Result<Answer> {
    let body: Value = serde_json::from_str(text).with_context(|| format!("not JSON: {text}"))?;
    let data = body.pointer("/outputs/0/data").and_then(Value::as_array).context("no outputs[0].data")?;
    let scores = data.iter().filter_map(Value::as_f64).map(|v| v as f32).collect();
    let revision = headers.get("drydock-revision").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    Answer::new(scores, revision)
}

pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
