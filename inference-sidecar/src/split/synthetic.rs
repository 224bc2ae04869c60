//! Requests that nobody has made, for a canary that users ask too little: inputs that the package has recorded. They take no user's
//! place, and what becomes of them is counted apart.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::Splitter;
use super::exchange::ask_both;
use crate::samples;
use crate::serve::{App, Current};
use crate::tensor::Tensor;
use crate::{grpc, http};

/// What both models are asked.
struct Input {
    tensors: Vec<Tensor>,
    /// Among those that the package has recorded. An input that was not recorded tells whether a model answers, and how soon, but not
    /// whether rightly.
    number: Option<u32>,
}

/// Asks for as long as a split wants it, and for ever waits for one that does. What is on its way when another split, or none, is in force
/// is given up at once.
pub(crate) async fn send_synthetic(current: Current, splitter: Arc<Splitter>) {
    let (mut puts, mut replaced) = (splitter.puts(), current.replaced());
    loop {
        let app = current.app();
        tokio::select! {
            biased;
            _ = puts.changed() => {}
            _ = replaced.changed() => {}
            () = send(&app, &splitter) => {}
        }
    }
}

async fn send(app: &Arc<App>, splitter: &Arc<Splitter>) {
    let Some((split, generation)) = splitter.in_force().filter(|(split, _)| split.synthetic_milliseconds > 0) else {
        return pending().await;
    };
    let inputs = inputs(app).await;
    let mut ticks = interval(Duration::from_millis(split.synthetic_milliseconds.into()));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first is now.
    ticks.tick().await;
    let (mut asked, mut rounds) = (splitter.requests(), 0_u64);
    if inputs.is_empty() {
        return pending().await;
    }
    loop {
        for input in &inputs {
            // Users have asked, or keep this pod busy: the canary has its requests, or this one has no time.
            loop {
                ticks.tick().await;
                let before = std::mem::replace(&mut asked, splitter.requests());
                if before == asked && app.is_idle() {
                    break;
                }
            }
            let Some(sent) = splitter.synthetic(generation) else { continue };
            if rounds == 0 && input.number.is_none_or(|number| number == 0) {
                tracing::info!(
                    revision = sent.revision(),
                    inputs = inputs.len(),
                    "users ask the canary little: it is sent recorded inputs too"
                );
            }
            // Both protocols, where there are both.
            if splitter.grpc.is_some() && (splitter.http.is_none() || rounds % 2 == 1) {
                if let Some(exchange) = grpc::unasked(app, &input.tensors) {
                    ask_both(splitter, sent, exchange, input.number).await;
                }
            } else if let Some(exchange) = http::unasked(app, &input.tensors) {
                ask_both(splitter, sent, exchange, input.number).await;
            }
        }
        rounds += 1;
    }
}

/// Those of the package, which are read again: the server does not keep them. Zeros where it has none.
async fn inputs(app: &Arc<App>) -> Vec<Input> {
    let app = app.clone();
    let read = move || {
        let model = &app.model;
        let recorded = samples::inputs(&model.directory, model.recorded.as_ref(), &model.signature);
        let numbered = |(tensors, number)| Input { tensors, number: Some(number) };
        let all: Vec<_> = recorded.into_iter().zip(0..).map(numbered).collect();
        let zeros = || model.signature.inputs.iter().map(Tensor::zeros).collect::<Result<_, _>>();
        let one = all.is_empty().then(zeros).and_then(Result::ok).map(|tensors| Input { tensors, number: None });
        all.into_iter().chain(one).collect()
    };
    tokio::task::spawn_blocking(read).await.unwrap_or_default()
}
