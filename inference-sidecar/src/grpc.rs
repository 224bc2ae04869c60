//! The Open Inference Protocol over gRPC.

mod convert;
mod cost;
mod gate;
mod infer;
mod reflection;
mod statistics;
mod unary;
#[allow(clippy::pedantic, missing_debug_implementations, unreachable_pub, reason = "generated")]
pub mod proto {
    tonic::include_proto!("inference");
}

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Body;
use axum::middleware::Next;
use axum::{Router, middleware};
use tonic::codec::CompressionEncoding;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::encoding::ACCEPTED;
use crate::error::ServeError;
use crate::lifecycle::Phase;
use crate::serve::{App, Current, EXTENSIONS, PLATFORM, REVISION_HEADER, SERVER_NAME, SERVER_VERSION};
pub(crate) use convert::{read_inputs, read_outputs};
pub(crate) use infer::unasked;
use proto::grpc_inference_service_server::{GrpcInferenceService, GrpcInferenceServiceServer};
use proto::{
    ModelInferRequest, ModelInferResponse, ModelMetadataRequest, ModelMetadataResponse, ModelReadyRequest,
    ModelReadyResponse, ModelStatisticsRequest, ModelStatisticsResponse, RepositoryIndexRequest,
    RepositoryIndexResponse, ServerLiveRequest, ServerLiveResponse, ServerMetadataRequest, ServerMetadataResponse,
    ServerReadyRequest, ServerReadyResponse, model_metadata_response::TensorMetadata,
    repository_index_response::ModelIndex,
};

const SERVICE: &str = "inference.GRPCInferenceService";

pub(crate) async fn router(current: Current) -> Router {
    let (reporter, health) = tonic_health::server::health_reporter();
    // Before the port is open.
    reporter.set_service_status(SERVICE, ServingStatus::Serving).await;
    tokio::spawn(report_health(reporter, current.clone()));
    let service = GrpcInferenceServiceServer::new(Service { current: current.clone() })
        // The gate decompresses, and lets through who wants an answer compressed.
        .send_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Deflate)
        .send_compressed(CompressionEncoding::Zstd)
        // The gate has the limit, and refuses in our own words.
        .max_decoding_message_size(usize::MAX)
        .max_encoding_message_size(usize::MAX);
    let routes = reflection::add_to(Routes::new(service).add_service(health)).prepare().into_axum_router();
    routes.layer(middleware::from_fn_with_state(current, gate::gate))
}

/// Until the server stops.
async fn report_health(reporter: HealthReporter, current: Current) {
    let mut replaced = current.replaced();
    loop {
        let app = replaced.borrow_and_update().clone();
        let (lifecycle, mut up) = (app.lifecycle.clone(), app.model.queue.sessions_up());
        let status = if app.is_ready() { ServingStatus::Serving } else { ServingStatus::NotServing };
        // Nobody waits here for requests of a model that is no longer served.
        drop(app);
        for service in ["", SERVICE] {
            reporter.set_service_status(service, status).await;
        }
        if !lifecycle.is_ready() {
            return;
        }
        tokio::select! {
            () = lifecycle.reached(Phase::LameDuck) => {}
            _ = up.changed() => {}
            changed = replaced.changed() => if changed.is_err() { return },
        }
    }
}

/// What a full pod answers: it must be neither restarted nor taken for one that has failed.
const HEALTH: [&str; 3] = [
    "/grpc.health.v1.Health/Check",
    "/inference.GRPCInferenceService/ServerLive",
    "/inference.GRPCInferenceService/ServerReady",
];

/// `router`, a [`router`], where there are too many connections: of it only [`HEALTH`] is left.
pub(crate) fn full_router(router: Router, current: Current, limit: u32) -> Router {
    let answer = move |request: axum::extract::Request, next: Next| {
        let app = current.app();
        async move {
            if HEALTH.contains(&request.uri().path()) {
                return next.run(request).await;
            }
            refuse(&app, &ServeError::TooManyConnections { limit }).into_http::<Body>()
        }
    };
    router.layer(middleware::from_fn(answer))
}

#[derive(Debug)]
struct Service {
    current: Current,
}

fn respond<T>(app: &App, message: T) -> Response<T> {
    let mut response = Response::new(message);
    name_revision(response.metadata_mut(), &app.model.revision);
    response
}

/// The answer to a question, which is held against what all of them may take until it is written.
fn answered<T: prost::Message>(app: &App, message: T) -> Result<Response<T>, Status> {
    let mut share = app.questions.share();
    share.hold(message.encoded_len()).map_err(|e| refuse(app, &e))?;
    let mut response = respond(app, message);
    response.extensions_mut().insert(Arc::new(share));
    Ok(response)
}

fn refuse(app: &App, e: &ServeError) -> Status {
    let mut status = Status::new(e.code(), e.told());
    if matches!(e, ServeError::Encoded(_)) {
        status.metadata_mut().insert("grpc-accept-encoding", MetadataValue::from_static(ACCEPTED));
    }
    name_revision(status.metadata_mut(), &app.model.revision);
    status
}

/// Names the revision that answered, unless the answer does so itself.
fn name_revision(metadata: &mut MetadataMap, revision: &str) {
    if let (false, Ok(revision)) = (metadata.contains_key(REVISION_HEADER), MetadataValue::try_from(revision)) {
        metadata.insert(REVISION_HEADER, revision);
    }
}

#[tonic::async_trait]
impl GrpcInferenceService for Service {
    async fn server_live(&self, _: Request<ServerLiveRequest>) -> Result<Response<ServerLiveResponse>, Status> {
        let app = self.current.app();
        Ok(respond(&app, ServerLiveResponse { live: true }))
    }

    async fn server_ready(&self, _: Request<ServerReadyRequest>) -> Result<Response<ServerReadyResponse>, Status> {
        let app = self.current.app();
        Ok(respond(&app, ServerReadyResponse { ready: app.is_ready() }))
    }

    async fn model_ready(&self, request: Request<ModelReadyRequest>) -> Result<Response<ModelReadyResponse>, Status> {
        let app = self.current.app();
        let ModelReadyRequest { name, version } = request.into_inner();
        app.model.check(&name, &version).map_err(|e| refuse(&app, &e))?;
        Ok(respond(&app, ModelReadyResponse { ready: app.is_ready() }))
    }

    async fn server_metadata(
        &self,
        _: Request<ServerMetadataRequest>,
    ) -> Result<Response<ServerMetadataResponse>, Status> {
        let app = self.current.app();
        answered(
            &app,
            ServerMetadataResponse {
                name: SERVER_NAME.into(),
                version: SERVER_VERSION.into(),
                extensions: EXTENSIONS.map(str::to_owned).to_vec(),
            },
        )
    }

    async fn model_metadata(
        &self,
        request: Request<ModelMetadataRequest>,
    ) -> Result<Response<ModelMetadataResponse>, Status> {
        let app = self.current.app();
        let ModelMetadataRequest { name, version } = request.into_inner();
        let model = &app.model;
        model.check(&name, &version).map_err(|e| refuse(&app, &e))?;
        let tensors = |side: &[drydock_contract::TensorSignature]| {
            let tensor = |t: &drydock_contract::TensorSignature| TensorMetadata {
                name: t.name.clone(),
                datatype: t.datatype.to_string(),
                shape: t.shape.clone(),
            };
            side.iter().map(tensor).collect()
        };
        answered(
            &app,
            ModelMetadataResponse {
                name: model.name.clone(),
                versions: vec![model.revision.clone()],
                platform: PLATFORM.into(),
                inputs: tensors(&model.signature.inputs),
                outputs: tensors(&model.signature.outputs),
                properties: HashMap::from([
                    ("digest".to_owned(), model.digest.to_string()),
                    ("execution_provider".to_owned(), model.provider.to_owned()),
                ]),
            },
        )
    }

    async fn model_infer(&self, request: Request<ModelInferRequest>) -> Result<Response<ModelInferResponse>, Status> {
        infer::infer(&self.current.app(), request).await
    }

    async fn model_statistics(
        &self,
        request: Request<ModelStatisticsRequest>,
    ) -> Result<Response<ModelStatisticsResponse>, Status> {
        let app = self.current.app();
        let ModelStatisticsRequest { name, version } = request.into_inner();
        let model = &app.model;
        // No name: of all models, which is of this one.
        let name = if name.is_empty() { &model.name } else { &name };
        model.check(name, &version).map_err(|e| refuse(&app, &e))?;
        answered(&app, ModelStatisticsResponse { model_stats: vec![statistics::message(model)] })
    }

    async fn repository_index(
        &self,
        request: Request<RepositoryIndexRequest>,
    ) -> Result<Response<RepositoryIndexResponse>, Status> {
        let app = self.current.app();
        let index = app.index(request.into_inner().ready).map(|entry| ModelIndex {
            name: entry.name.to_owned(),
            version: entry.version.to_owned(),
            state: entry.state.to_owned(),
            reason: entry.reason.to_owned(),
        });
        answered(&app, RepositoryIndexResponse { models: index.into_iter().collect() })
    }
}
