use std::error::Error as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};

use super::{CONNECT_TIMEOUT, Failure, HOP_HEADER, MAX_ANSWER_BYTES};
use crate::deadline;
use crate::error::StartError;
use crate::grpc::proto::grpc_inference_service_client::GrpcInferenceServiceClient;
use crate::grpc::proto::{ModelInferRequest, ModelInferResponse};

/// A channel is one connection, and a Service picks a pod per connection: several reach several pods.
const CHANNELS: usize = 4;
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// The canary's gRPC side.
#[derive(Debug)]
pub(crate) struct GrpcCanary {
    clients: Vec<GrpcInferenceServiceClient<Channel>>,
    next: AtomicUsize,
}

impl GrpcCanary {
    pub(crate) fn new(url: &str) -> Result<Self, StartError> {
        let endpoint = Endpoint::from_shared(url.to_owned())
            .map_err(|e| StartError::Canary(url.to_owned(), e.to_string()))?
            .tcp_nodelay(true)
            .connect_timeout(CONNECT_TIMEOUT)
            // A pod that went without a word is found out, and its connection replaced.
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .keep_alive_while_idle(true);
        let client =
            || GrpcInferenceServiceClient::new(endpoint.connect_lazy()).max_decoding_message_size(MAX_ANSWER_BYTES);
        Ok(Self { clients: (0..CHANNELS).map(|_| client()).collect(), next: AtomicUsize::new(0) })
    }

    pub(crate) async fn send(
        &self,
        metadata: &MetadataMap,
        message: ModelInferRequest,
    ) -> Result<Response<ModelInferResponse>, Failure> {
        let mut sent = self.send_once(metadata, message.clone()).await;
        if sent.as_ref().is_err_and(was_never_sent) {
            // A pod that drains, or whose connection grew old, is no failure of the canary.
            sent = self.send_once(metadata, message).await;
        }
        sent.map_err(|status| {
            // A status of the canary's own came over the wire and has no source; a broken connection has.
            if status.source().is_some() { Failure::Unreachable } else { Failure::Error }
        })
    }

    async fn send_once(
        &self,
        metadata: &MetadataMap,
        message: ModelInferRequest,
    ) -> Result<Response<ModelInferResponse>, Status> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % CHANNELS;
        let client = self.clients.get(turn).ok_or_else(|| Status::internal("no channel"))?;
        let mut request = Request::new(message);
        *request.metadata_mut() = metadata.clone();
        request.metadata_mut().insert(HOP_HEADER, MetadataValue::from_static("1"));
        // The user's deadline is kept by the stable side; the canary's own error would hide that it was a timeout.
        for name in &deadline::HEADERS {
            request.metadata_mut().remove(name.as_str());
        }
        // What the client takes, and this does not read.
        request.metadata_mut().remove("grpc-accept-encoding");
        client.clone().model_infer(request).await
    }
}

/// The connection was told to go before the request was on it, or the server says that it has not looked at the request
/// (RFC 9113, section 6.8). gRPC wants such a request sent again; tonic leaves that to us.
pub fn was_never_sent(status: &Status) -> bool {
    let told_to_go = |e: &h2::Error| e.is_go_away() && e.is_remote() && e.reason() == Some(h2::Reason::NO_ERROR);
    let mut causes = std::iter::successors(status.source(), |&e| e.source());
    status.code() == Code::Cancelled && status.source().is_some()
        || causes.any(|e| e.downcast_ref().is_some_and(told_to_go))
}
