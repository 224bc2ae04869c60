use std::sync::Arc;
use std::time::Instant;

use drydock_contract::TensorSignature;
use prost::Message as _;
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Response, Status};

use super::gate::Started;
use super::proto::infer_parameter::ParameterChoice;
use super::proto::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
use super::proto::model_infer_response::InferOutputTensor;
use super::proto::{ModelInferRequest, ModelInferResponse};
use super::{convert, name_revision, refuse};
use crate::budget::Share;
use crate::deadline::Deadline;
use crate::error::ServeError;
use crate::metrics::Protocol;
use crate::serve::{App, Wanted};
use crate::split::{self, Exchange, Failure, HOP_HEADER, Splitter};
use crate::tensor::{Decision, Tensor};

pub(super) async fn infer(
    app: &Arc<App>,
    request: Request<ModelInferRequest>,
) -> Result<Response<ModelInferResponse>, Status> {
    // When the call came: its body has arrived since.
    let start = request.extensions().get().map_or_else(Instant::now, |Started(start)| *start);
    // The gate has let nobody past without it.
    let share = request.extensions().get::<Arc<Share>>().cloned();
    let share = share.ok_or_else(|| Status::internal("the call came past the gate"))?;
    let (answer, canary) =
        answer(app, request, share.clone(), start).await.unwrap_or_else(|e| (Err(refuse(app, &e)), None));
    let answer = answer.and_then(|answer| {
        let mut share = share.beside();
        share.hold(answer.message.encoded_len()).map_err(|e| refuse(app, &e))?;
        Ok((answer, share))
    });
    let revision = canary.as_deref().unwrap_or(&app.model.revision);
    let code = answer.as_ref().map_or_else(Status::code, |_| Code::Ok);
    app.metrics.request(revision, Protocol::grpc, format!("{code:?}"), start.elapsed());
    match answer {
        Ok((Answer { metadata, message }, share)) => {
            let mut response = Response::new(Arc::unwrap_or_clone(message));
            response.extensions_mut().insert(Arc::new(share));
            *response.metadata_mut() = metadata;
            name_revision(response.metadata_mut(), revision);
            Ok(response)
        }
        Err(mut status) => {
            name_revision(status.metadata_mut(), revision);
            Err(status)
        }
    }
}

async fn answer(
    app: &Arc<App>,
    request: Request<ModelInferRequest>,
    share: Arc<Share>,
    start: Instant,
) -> Result<(Result<Answer, Status>, Option<String>), ServeError> {
    let (metadata, _, message) = request.into_parts();
    app.model.check(&message.model_name, &message.model_version)?;
    let deadline = Deadline::of(metadata.as_ref(), start)?.or_after(start, timeout(&message)?);
    let (metadata, message) = (Arc::new(metadata), Arc::new(message));
    let exchange = GrpcExchange { app: app.clone(), metadata, message, share, deadline };
    let answered = split::answer(app.splitter.as_ref(), exchange).await;
    Ok((answered.answer, answered.canary))
}

/// A request for these inputs that no user waits for; `None` while there is no memory for it.
pub(crate) fn unasked(app: &Arc<App>, inputs: &[Tensor]) -> Option<impl Exchange + use<>> {
    let mut share = app.budget.share();
    share.hold(inputs.iter().map(|t| t.data.len()).sum()).ok()?;
    let input = |t: &Tensor| InferInputTensor {
        name: t.name.clone(),
        datatype: t.datatype.to_string(),
        shape: t.shape.clone(),
        ..InferInputTensor::default()
    };
    let message = ModelInferRequest {
        model_name: app.model.name.clone(),
        inputs: inputs.iter().map(input).collect(),
        raw_input_contents: inputs.iter().map(|t| t.data.clone()).collect(),
        ..ModelInferRequest::default()
    };
    let (metadata, deadline) = (Arc::default(), Deadline::default());
    Some(GrpcExchange { app: app.clone(), metadata, message: Arc::new(message), share: Arc::new(share), deadline })
}

#[derive(Clone)]
struct Answer {
    metadata: MetadataMap,
    message: Arc<ModelInferResponse>,
}

#[derive(Clone)]
struct GrpcExchange {
    app: Arc<App>,
    metadata: Arc<MetadataMap>,
    message: Arc<ModelInferRequest>,
    /// For as long as anyone has the message.
    share: Arc<Share>,
    deadline: Deadline,
}

impl Exchange for GrpcExchange {
    type Answer = Result<Answer, Status>;

    fn may_forward(&self) -> bool {
        // A version names this revision: no other may answer.
        self.message.model_version.is_empty() && !self.metadata.contains_key(HOP_HEADER)
    }

    fn headers(&self) -> &http::HeaderMap {
        self.metadata.as_ref().as_ref()
    }

    fn deadline(&self) -> Deadline {
        self.deadline
    }

    fn unhurried(self) -> Self {
        Self { deadline: Deadline::default(), ..self }
    }

    async fn forward(&self, splitter: &Splitter) -> Result<Self::Answer, Failure> {
        let canary = splitter.grpc.as_ref().ok_or(Failure::Unreachable)?;
        // The tensors of the copy are the same bytes: only the messages around them are copied.
        let mut message = self.message.as_ref().clone();
        // Kept here, as the metadata's.
        message.parameters.remove(TIMEOUT);
        let response = canary.send(&self.metadata, message).await?;
        let (metadata, message, _) = response.into_parts();
        Ok(Ok(Answer { metadata, message: Arc::new(message) }))
    }

    async fn serve(&self) -> Self::Answer {
        let (request, model) = (self.message.as_ref(), &self.app.model);
        let answer = async {
            let encoded = model.encoded();
            let inputs = convert::read_inputs(request, encoded.as_ref()).map_err(ServeError::Invalid)?;
            let is_encoded = |t: &Tensor| encoded.as_ref().is_some_and(|e| e.is(&t.name, t.datatype));
            let mut share = Share::of_body(&self.share);
            let to_engine = inputs.iter().filter(|t| !is_encoded(t));
            share.hold(to_engine.map(Tensor::engine_memory).fold(0, usize::saturating_add))?;
            let (inputs, share) = model.decode(inputs, share).await?;
            let outputs = request.outputs.iter().map(wanted).collect::<Result<Vec<_>, _>>()?;
            model.infer(inputs, &outputs, self.deadline, &Arc::new(share)).await
        };
        let outputs = answer.await.map_err(|e| Status::new(e.code(), e.told()))?;
        let (outputs, raw_output_contents) = convert::write_outputs(outputs, !request.raw_input_contents.is_empty());
        let message = ModelInferResponse {
            model_name: model.name.clone(),
            model_version: model.revision.clone(),
            id: request.id.clone(),
            outputs,
            raw_output_contents,
            ..ModelInferResponse::default()
        };
        Ok(Answer { metadata: MetadataMap::new(), message: Arc::new(message) })
    }

    async fn has_form(&self, answer: &Self::Answer) -> bool {
        let Ok(Answer { message, .. }) = answer else { return false };
        let declared = |o: &InferOutputTensor| {
            Some(TensorSignature { name: o.name.clone(), datatype: o.datatype.parse().ok()?, shape: o.shape.clone() })
        };
        let outputs: Option<Vec<_>> = message.outputs.iter().map(declared).collect();
        outputs.is_some_and(|outputs| self.app.model.has_form(&outputs))
    }

    fn is_ok(answer: &Self::Answer) -> bool {
        answer.is_ok()
    }

    fn is_mistake(answer: &Self::Answer) -> bool {
        use tonic::Code::{InvalidArgument, NotFound, OutOfRange, Unimplemented};
        let is_theirs = |code| matches!(code, InvalidArgument | NotFound | OutOfRange | Unimplemented);
        answer.as_ref().is_err_and(|status| is_theirs(status.code()))
    }

    fn is_failure(answer: &Self::Answer) -> bool {
        use tonic::Code::{DataLoss, DeadlineExceeded, Internal, Unavailable, Unknown};
        // Those that stand for an HTTP 5xx.
        let is_ours = |code| matches!(code, DataLoss | DeadlineExceeded | Internal | Unavailable | Unknown);
        answer.as_ref().is_err_and(|status| is_ours(status.code()))
    }

    fn outputs(&self, answer: &Self::Answer) -> Option<Vec<Tensor>> {
        convert::read_outputs(&answer.as_ref().ok()?.message)
    }

    fn decisions(&self, answer: &Self::Answer) -> Option<Vec<Decision>> {
        self.app.model.decisions(&self.outputs(answer)?)
    }

    fn is_busy(&self) -> bool {
        self.app.model.queue.is_busy()
    }

    fn may_stay(&self) -> bool {
        self.app.budget.has_room()
    }
}

/// Triton's request parameter: microseconds.
const TIMEOUT: &str = "timeout";

fn timeout(request: &ModelInferRequest) -> Result<Option<u64>, ServeError> {
    let Some(parameter) = request.parameters.get(TIMEOUT) else { return Ok(None) };
    let found = match parameter.parameter_choice {
        Some(ParameterChoice::Int64Param(t)) => u64::try_from(t).ok(),
        Some(ParameterChoice::Uint64Param(t)) => Some(t),
        _ => None,
    };
    let wrong =
        || ServeError::Invalid("timeout is no number of microseconds; expected an int64_param of 0 or more".into());
    found.map(Some).ok_or_else(wrong)
}

/// An output that the request names, and the classification extension's parameter.
fn wanted(output: &InferRequestedOutputTensor) -> Result<Wanted<'_>, ServeError> {
    let (name, parameter) = (output.name.as_str(), output.parameters.get("classification"));
    let classes = match parameter.map(|p| &p.parameter_choice) {
        None => None,
        Some(Some(ParameterChoice::Int64Param(k))) => usize::try_from(*k).ok(),
        Some(Some(ParameterChoice::Uint64Param(k))) => usize::try_from(*k).ok(),
        Some(_) => {
            let wrong = format!("output {name:?}: classification is no number; expected an int64_param");
            return Err(ServeError::Invalid(wrong));
        }
    };
    if parameter.is_some() && classes.is_none() {
        return Err(ServeError::Invalid(format!(
            "output {name:?}: classification is below 0; expected a number of classes"
        )));
    }
    // Clients that want none say 0.
    Ok(Wanted { name, classes: classes.filter(|k| *k > 0) })
}
