use serde::Deserialize;
use serde_json::Value;

use crate::pod_state::cut;

/// What a source says.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Never NaN.
    Number(f64),
    Yes,
    /// With whatever it says besides.
    No(String),
    /// Why not: it cannot be reached, or what it sends is no answer to the question.
    Nothing(String),
}

/// In a status, and for people.
const MOST: usize = 200;

fn nothing(why: impl AsRef<str>) -> Answer {
    Answer::Nothing(cut(why.as_ref(), MOST))
}

#[derive(Deserialize)]
struct Reply {
    status: String,
    #[serde(default)]
    error: String,
    data: Option<Data>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    result_type: String,
    result: Value,
}

/// The answer to `/api/v1/query`, by <https://prometheus.io/docs/prometheus/latest/querying/api/#expression-query-result-formats>.
pub fn of_prometheus(status: u16, body: &[u8]) -> Answer {
    let reply = match serde_json::from_slice::<Reply>(body) {
        Ok(reply) => reply,
        Err(_) if status == 200 => return nothing("it does not answer as Prometheus does: is this its address?"),
        Err(_) => return nothing(format!("HTTP {status}")),
    };
    match (reply.status.as_str(), reply.data) {
        ("success", Some(data)) => of_data(&data),
        _ => nothing(format!("HTTP {status}: {}", reply.error)),
    }
}

fn of_data(data: &Data) -> Answer {
    match data.result_type.as_str() {
        "scalar" => of_sample(&data.result),
        "vector" => match data.result.as_array().map(Vec::as_slice) {
            Some([]) => nothing("the query gives no series: nothing was counted yet, or its labels match nothing"),
            Some([one]) => match one.get("value") {
                Some(sample) => of_sample(sample),
                None => nothing("the query gives a histogram: take one number of it, as histogram_quantile does"),
            },
            Some(many) => {
                let many = many.len();
                nothing(format!(
                    "the query gives {many} series, and one number is judged: put it in sum(...) or max(...)"
                ))
            }
            None => nothing("it does not answer as Prometheus does: is this its address?"),
        },
        other => nothing(format!(
            "the query gives a {other}, and one number is judged: ask for a scalar, or a vector of one series"
        )),
    }
}

/// `[1435781451.781, "1.5"]`.
fn of_sample(sample: &Value) -> Answer {
    match sample.get(1).and_then(Value::as_str).map(str::parse::<f64>) {
        Some(Ok(number)) if number.is_nan() => nothing("the query gives NaN: was anything counted?"),
        Some(Ok(number)) => Answer::Number(number),
        _ => nothing("it does not answer as Prometheus does: is this its address?"),
    }
}

/// `number_at`: a JSON Pointer to the number, where one is asked for.
pub fn of_web_hook(status: u16, body: &[u8], number_at: Option<&str>) -> Answer {
    match (status, number_at) {
        (200..=299, None) => Answer::Yes,
        (200..=299, Some(pointer)) => number(body, pointer),
        // The question has not come to whoever could answer it.
        (401 | 404 | 405 | 408 | 429, _) => nothing(format!("HTTP {status}")),
        (400..=499, None) => Answer::No(format!("HTTP {status}")),
        (300..=399, _) => nothing(format!("HTTP {status}: it sends elsewhere, which is not followed")),
        _ => nothing(format!("HTTP {status}")),
    }
}

fn number(body: &[u8], pointer: &str) -> Answer {
    let at = if pointer.is_empty() { "the answer".to_owned() } else { format!("{pointer} of the answer") };
    let Ok(json) = serde_json::from_slice::<Value>(body) else { return nothing("its answer is not JSON") };
    match json.pointer(pointer).map(Value::as_f64) {
        Some(Some(number)) => Answer::Number(number),
        Some(None) => nothing(format!("{at} is not a number")),
        None => nothing(format!("{at} is not there")),
    }
}

#[cfg(test)]
mod tests;
