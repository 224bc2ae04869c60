//! A small client of the Open Inference Protocol over gRPC, with raw tensors. The messages are those the sidecar is built from.

use std::error::Error as _;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
pub use inference_sidecar::proto;
use inference_sidecar::was_never_sent;
use proto::ModelInferRequest;
use proto::grpc_inference_service_client::GrpcInferenceServiceClient;
use proto::model_infer_request::InferInputTensor;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use crate::oip::Answer;

pub type Client = GrpcInferenceServiceClient<Channel>;

/// One connection, made with the first request. Given up where nobody answers a PING: a pod whose node is gone closes nothing.
pub fn client(url: &str) -> Result<Client> {
    let endpoint = Endpoint::from_shared(url.to_owned())?.timeout(Duration::from_secs(10));
    let endpoint =
        endpoint.http2_keep_alive_interval(Duration::from_secs(10)).keep_alive_timeout(Duration::from_secs(5));
    Ok(Client::new(endpoint.connect_lazy()))
}

/// The same, for requests to the host of `origin`, wherever the connection goes.
pub fn client_of(url: &str, origin: &str) -> Result<Client> {
    let endpoint = Endpoint::from_shared(url.to_owned())?.origin(origin.parse()?).timeout(Duration::from_secs(10));
    Ok(Client::new(endpoint.connect_lazy()))
}

/// The request for one FP32 image of shape [1, 1, 28, 28].
pub fn request(model: &str, tensor: &[u8]) -> ModelInferRequest {
    ModelInferRequest {
        model_name: model.to_owned(),
        inputs: vec![InferInputTensor {
            name: "input".to_owned(),
            datatype: "FP32".to_owned(),
            shape: vec![1, 1, 28, 28],
            ..InferInputTensor::default()
        }],
        raw_input_contents: vec![tensor.to_vec().into()],
        ..ModelInferRequest::default()
    }
}

pub async fn infer(client: &Client, model: &str, tensor: &[u8]) -> Result<Answer> {
    let request = request(model, tensor);
    let mut answer = client.clone().model_infer(request.clone()).await;
    // As clients of gRPC do by themselves ("transparent retry"); tonic leaves that to its caller.
    if answer.as_ref().is_err_and(was_never_sent) {
        answer = client.clone().model_infer(request).await;
    }
    let response =
        answer.map_err(|status| anyhow!("gRPC {:?}: {}{}", status.code(), status.message(), cause(&status)))?;
    let revision = response.metadata().get("drydock-revision").and_then(|v| v.to_str().ok()).unwrap_or_default();
    let revision = revision.to_owned();
    let message = response.into_inner();
    let output = message.raw_output_contents.first().context("no raw_output_contents")?;
    Answer::new(output.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(), revision)
}

fn cause(status: &Status) -> String {
    status.source().map(|e| format!(": {}", crate::oip::chain(e))).unwrap_or_default()
}
