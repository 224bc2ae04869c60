//! What a load pod runs: `load REST-URL GRPC-URL MODEL REQUESTS-PER-SECOND IMAGES`. `GET /seen` and `POST /stop` give its report.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, bail};
use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use drydock_e2e::fashion;
use drydock_e2e::load::{Load, Report, Target};
use drydock_e2e::load_pod::PORT;
use tokio::sync::Mutex;

type Running = Arc<Mutex<Load>>;

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [http, grpc, model, rate, images] = arguments.as_slice() else {
        bail!("usage: load REST-URL GRPC-URL MODEL REQUESTS-PER-SECOND IMAGES");
    };
    let target = Target { http: http.clone(), grpc: grpc.clone(), model: model.clone() };
    let listener = tokio::net::TcpListener::bind(("0.0.0.0", PORT)).await?;
    let load = Load::start(&target, fashion::read(Path::new(images), 1000)?, rate.parse()?)?;
    let app = Router::new().route("/seen", get(seen)).route("/stop", post(stop)).with_state(Arc::new(Mutex::new(load)));
    Ok(axum::serve(listener, app).await?)
}

async fn seen(State(load): State<Running>) -> Json<Report> {
    let report = load.lock().await.seen();
    Json(Report { latencies: Vec::new(), ..report })
}

async fn stop(State(load): State<Running>) -> Json<Report> {
    Json(load.lock().await.stop().await)
}
