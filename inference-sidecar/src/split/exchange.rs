use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use drydock_contract::Tolerance;
use http::HeaderMap;

use super::window::Sent;
use super::{Failure, Splitter, tolerance};
use crate::deadline::Deadline;
use crate::tensor::{Decision, Tensor};

/// One request in the words of its protocol: how to have it answered, by either model.
pub(crate) trait Exchange: Clone + Send + Sync + 'static {
    type Answer: Clone + Send + Sync + 'static;

    /// Whether the canary may answer it.
    fn may_forward(&self) -> bool;

    /// Or gRPC's metadata.
    fn headers(&self) -> &HeaderMap;

    /// How long the user waits.
    fn deadline(&self) -> Deadline;

    /// The same request when the user has an answer, and nobody waits for another.
    fn unhurried(self) -> Self;

    /// The canary's answer, if it is one that the user can have.
    fn forward(&self, splitter: &Splitter) -> impl Future<Output = Result<Self::Answer, Failure>> + Send;

    /// The stable model's answer, refusals among them.
    fn serve(&self) -> impl Future<Output = Self::Answer> + Send;

    /// Whether the canary's answer has outputs that a client of the stable model can read. To find out holds nobody up.
    fn has_form(&self, answer: &Self::Answer) -> impl Future<Output = bool> + Send;

    fn is_ok(answer: &Self::Answer) -> bool;

    /// Whether the stable model refused what no model could answer. Not what it might answer at another time.
    fn is_mistake(answer: &Self::Answer) -> bool;

    /// Whether the stable model failed, by its own fault: what is refused is the user's.
    fn is_failure(answer: &Self::Answer) -> bool;

    /// The tensors of an answer that has any.
    fn outputs(&self, answer: &Self::Answer) -> Option<Vec<Tensor>>;

    /// What an answer decides in its first output.
    fn decisions(&self, answer: &Self::Answer) -> Option<Vec<Decision>>;

    /// Whether the stable model has enough to do without comparisons.
    fn is_busy(&self) -> bool;

    /// Whether the request may be kept in memory when its user has the answer.
    fn may_stay(&self) -> bool;
}

#[derive(Debug)]
pub(crate) struct Answered<A> {
    pub(crate) answer: A,
    /// The canary's revision, if the canary answered.
    pub(crate) canary: Option<String>,
}

/// Answers a request by the model that is its turn. A canary that fails costs the user time, never the answer.
pub(crate) async fn answer<E: Exchange>(splitter: Option<&Arc<Splitter>>, exchange: E) -> Answered<E::Answer> {
    // Of a deadline that has passed no canary must be accused.
    let may_forward = || exchange.may_forward() && !exchange.deadline().has_passed(Instant::now());
    let Some(splitter) = splitter.filter(|_| may_forward()) else {
        return Answered { answer: exchange.serve().await, canary: None };
    };
    let Some(sent) = splitter.next(exchange.headers()) else {
        let kept = splitter.keeps();
        let answer = exchange.serve().await;
        if let Some(kept) = kept {
            splitter.kept(kept, E::is_failure(&answer));
        }
        // A stable model that has enough to do answers, and compares later.
        if E::is_ok(&answer)
            && !exchange.is_busy()
            // For as long as a canary hangs a copy holds memory that users may need.
            && exchange.may_stay()
            && let Some(sent) = splitter.shadows()
        {
            // On its own: the user's answer is on its way, and waits for nothing.
            tokio::spawn(shadow(splitter.clone(), sent, exchange.unhurried(), answer.clone()));
        }
        return Answered { answer, canary: None };
    };
    // On its own: a client that gives up on a canary that hangs must not take the failure's count along.
    let forwarded = tokio::spawn(by_canary(splitter.clone(), sent, exchange.clone()));
    match forwarded.await {
        Ok(answered) => answered,
        Err(_) => Answered { answer: exchange.serve().await, canary: None },
    }
}

/// The canary's answer, in the time that it may take for it, and the time that it took: to look at it takes some of ours.
async fn forward<E: Exchange>(
    splitter: &Splitter,
    sent: &Sent,
    exchange: &E,
) -> Result<(E::Answer, Duration), Failure> {
    let within = patience(sent.timeout(), exchange.deadline());
    let answer = tokio::time::timeout(within, exchange.forward(splitter)).await.unwrap_or(Err(Failure::Timeout))?;
    let took = sent.elapsed();
    if exchange.has_form(&answer).await { Ok((answer, took)) } else { Err(Failure::Form) }
}

/// Half of the time that the user has left is for the stable model, should the canary not answer.
fn patience(timeout: Duration, deadline: Deadline) -> Duration {
    deadline.instant().map_or(timeout, |at| timeout.min(at.saturating_duration_since(Instant::now()) / 2))
}

/// Has the canary answer what the stable model has answered already, and compares the two.
async fn shadow<E: Exchange>(splitter: Arc<Splitter>, sent: Sent, exchange: E, stables: E::Answer) {
    match forward(&splitter, &sent, &exchange).await {
        Ok((canarys, took)) => {
            splitter.ended(&sent, Ok(took));
            compare(&splitter, sent, exchange, canarys, stables, None).await;
        }
        // The stable model has answered it, so it is no mistake of the user's.
        Err(failure) => splitter.ended(&sent, Err(failure)),
    }
}

/// Has both models answer what nobody else asks; `number`: of the recorded input that it is. What the stable model does not answer says
/// nothing of the canary: it is busy after all, say.
pub(super) async fn ask_both<E: Exchange>(splitter: &Arc<Splitter>, mut sent: Sent, exchange: E, number: Option<u32>) {
    let stables = exchange.serve().await;
    if !E::is_ok(&stables) {
        return;
    }
    splitter.answered(&sent);
    sent.begins();
    match forward(splitter, &sent, &exchange).await {
        Ok((canarys, took)) => {
            splitter.ended(&sent, Ok(took));
            if number.is_some() {
                compare(splitter, sent, exchange, canarys, stables, number).await;
            }
        }
        Err(failure) => splitter.ended(&sent, Err(failure)),
    }
}

/// Compares two answers, and counts it: to read them may take a while, and nobody waits for it. `number`: of the recorded input that was asked.
async fn compare<E: Exchange>(
    splitter: &Arc<Splitter>,
    sent: Sent,
    exchange: E,
    canarys: E::Answer,
    stables: E::Answer,
    number: Option<u32>,
) {
    let splitter = splitter.clone();
    let compared = tokio::task::spawn_blocking(move || {
        if let Some(agreed) = agree(sent.tolerance(), &exchange, &canarys, &stables) {
            splitter.compared(&sent, number, agreed);
        }
    });
    if let Err(e) = compared.await {
        tracing::error!(error = %e, "two answers could not be compared");
    }
}

/// By the numbers of outputs that have a tolerance; else by what they decide. An answer without any of those outputs tells nothing.
fn agree<E: Exchange>(
    tolerances: &BTreeMap<String, Tolerance>,
    exchange: &E,
    canarys: &E::Answer,
    stables: &E::Answer,
) -> Option<bool> {
    let stable = if tolerances.is_empty() { None } else { exchange.outputs(stables) };
    if let Some(stable) = stable {
        return tolerance::agree(tolerances, exchange.outputs(canarys).as_deref(), &stable);
    }
    let decisions = exchange.decisions(canarys);
    Some(decisions.is_some() && decisions == exchange.decisions(stables))
}

async fn by_canary<E: Exchange>(splitter: Arc<Splitter>, sent: Sent, exchange: E) -> Answered<E::Answer> {
    match forward(&splitter, &sent, &exchange).await {
        Ok((answer, took)) => {
            splitter.ended(&sent, Ok(took));
            let canary = Some(sent.revision().to_owned());
            if let Some(permit) = splitter.compares(&sent).filter(|_| !exchange.is_busy()) {
                let canarys = answer.clone();
                // In the background: the user has the canary's answer by then.
                tokio::spawn(async move {
                    let exchange = exchange.unhurried();
                    let stables = exchange.serve().await;
                    if E::is_ok(&stables) {
                        compare(&splitter, sent, exchange, canarys, stables, None).await;
                    }
                    drop(permit);
                });
            }
            Answered { answer, canary }
        }
        Err(failure) => {
            let answer = exchange.serve().await;
            // What the stable model refuses too is the user's mistake: it tells nothing of the canary, neither good nor bad.
            if !E::is_mistake(&answer) {
                tracing::warn!(
                    canary = sent.revision(),
                    reason = failure.as_str(),
                    "the canary failed; answered by the stable model"
                );
                splitter.ended(&sent, Err(failure));
            }
            Answered { answer, canary: None }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stable_model_has_half_of_the_users_time() {
        let (second, start) = (Duration::from_secs(1), Instant::now());
        let after = |seconds: u64| Deadline::default().or_after(start, Some(seconds * 1_000_000));
        assert_eq!(patience(second, Deadline::default()), second);
        assert_eq!(patience(second, after(600)), second);
        let half = patience(600 * second, after(600));
        assert!(half <= 300 * second && half > 200 * second, "{half:?}");
        assert_eq!(patience(second, Deadline::default().or_after(start, Some(1))), Duration::ZERO);
    }
}
