use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::backend::{Engine, OnnxRuntime, Signature};
use crate::config::Config;
use crate::connection::{self, Kind, Places, Port};
use crate::detection::Detector;
use crate::error::StartError;
use crate::images::Images;
use crate::lifecycle::{Lifecycle, Phase};
use crate::metrics::Metrics;
use crate::package::Package;
use crate::queue::Queue;
use crate::serve::{App, Model};
use crate::split::{GrpcCanary, HttpCanary, Splitter};
use crate::{admin, descriptors, grpc, http, split};

/// How long requests in progress may take to end, after the drain.
const END: Duration = Duration::from_secs(20);
/// Of the operator, Prometheus and the kubelet. They have places of their own, so that they are answered when users have all of theirs.
const ADMIN_CONNECTIONS: u32 = 64;

/// A server that is ready.
#[derive(Debug)]
pub struct Server {
    pub http: SocketAddr,
    pub grpc: SocketAddr,
    pub admin: SocketAddr,
    tasks: TaskTracker,
}

impl Server {
    /// Returns when the model has run once and all ports are open. It stops as `lifecycle` says.
    pub async fn start(config: &Config, lifecycle: Lifecycle) -> Result<Self, StartError> {
        let start = Instant::now();
        let loading = (config.clone(), lifecycle.clone());
        let load = tokio::task::spawn_blocking(move || load(&loading.0, loading.1));
        let mut app = load.await.map_err(|e| StartError::Thread(std::io::Error::other(e)))??;
        app.splitter = splitter(config, &app)?.map(Arc::new);
        let app = Arc::new(app);

        let tasks = TaskTracker::new();
        let listen = |number: u16, port: Port| {
            let (lifecycle, tasks) = (lifecycle.clone(), tasks.clone());
            let address = SocketAddr::new(config.address, number);
            async move {
                let failed = |source| StartError::Listen { address, source };
                let listener = TcpListener::bind(address).await.map_err(failed)?;
                let address = listener.local_addr().map_err(failed)?;
                tasks.spawn(connection::serve(listener, port, lifecycle, tasks.clone()));
                Ok::<_, StartError>(address)
            }
        };
        let max_connections = descriptors::connections(config.max_connections);
        let places = Places::new(max_connections);
        let port = |kind: Kind, router: Router, full: Router, places: &Places| Port {
            kind,
            router,
            full,
            places: places.of_port(),
            keep_alive: config.keep_alive(),
        };
        let full = http::full_router(app.clone(), ADMIN_CONNECTIONS);
        let admin = port(Kind::Http, admin::router(app.clone()), full, &Places::new(ADMIN_CONNECTIONS));
        let router = grpc::router(app.clone()).await;
        let full = grpc::full_router(router.clone(), app.clone(), max_connections);
        let grpc = port(Kind::Grpc, router, full, &places);
        let full = http::full_router(app.clone(), max_connections);
        let http = port(Kind::Http, http::router(app.clone(), config.page), full, &places);
        let grpc = listen(config.grpc_port, grpc).await?;
        let http = listen(config.http_port, http).await?;
        // Last: it says that the pod is ready.
        let admin = listen(config.admin_port, admin).await?;
        if let (Some(path), Some(splitter)) = (config.split_file.clone(), app.splitter.clone()) {
            tokio::spawn(split::watch(path, splitter));
        }
        let model = &app.model;
        tracing::info!(
            model = model.name, revision = model.revision, digest = %model.digest, %http, %grpc, %admin,
            sessions = config.queue().sessions, bytes_in_flight = app.budget.total(), milliseconds = start.elapsed().as_secs_f64() * 1000.0, "ready",
        );
        Ok(Self { http, grpc, admin, tasks })
    }

    /// Returns when the last connection has ended, which nothing before [`Phase::Stopping`] makes them do.
    pub async fn stopped(self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

fn load(config: &Config, lifecycle: Lifecycle) -> Result<App, StartError> {
    let package = Package::open(&config.package, &config.digest)?;
    let content = &package.manifest.content;
    let signature = Signature { inputs: content.inputs.clone(), outputs: content.outputs.clone() };
    let revision = config.revision();
    let metrics = Metrics::new(&package.manifest, &config.model_name, &revision);
    let engine: Arc<dyn Engine> =
        Arc::new(OnnxRuntime::new(&config.onnxruntime, package.model, usize::from(config.threads))?);
    let queue = Queue::start(&engine, &signature, config.queue(), &metrics)?;
    let admission = Arc::new(Semaphore::new(queue.limit()));
    let model = Model {
        name: config.model_name.clone(),
        revision,
        digest: package.manifest.digest,
        signature,
        images: Images::of(&package.manifest.content),
        detector: Detector::of(&package.manifest.content)?,
        labels: package.manifest.content.labels,
        statistics: metrics.statistics.clone(),
        max_rows: config.max_rows as usize,
        queue,
    };
    let budget = config.budget();
    // Of a larger body it would be a lie that there is room for it later.
    let max_body_bytes = config.max_body_bytes.min(budget.total());
    Ok(App { model, splitter: None, metrics, lifecycle, max_body_bytes, admission, budget })
}

fn splitter(config: &Config, app: &App) -> Result<Option<Splitter>, StartError> {
    if config.split_file.is_none() {
        return Ok(None);
    }
    // An empty environment variable is as good as none.
    let given = |url: &Option<String>| url.clone().filter(|u| !u.is_empty());
    let http = given(&config.canary_http).as_deref().map(HttpCanary::new).transpose()?;
    let grpc = given(&config.canary_grpc).as_deref().map(GrpcCanary::new).transpose()?;
    if http.is_none() && grpc.is_none() {
        return Ok(None);
    }
    // Half of the room: a canary that hangs fills no more than that.
    let waiting = (app.model.queue.limit() / 2).max(1);
    let comparing = config.queue().sessions * 2;
    Ok(Some(Splitter::new(http, grpc, waiting, comparing, app.metrics.clone())))
}

/// Serves until SIGTERM or SIGINT, then drains; a second signal ends the process at once.
pub async fn run(config: Config) -> Result<ExitCode, StartError> {
    let mut signals = Signals::new().map_err(StartError::Thread)?;
    let lifecycle = Lifecycle::default();
    let server = tokio::select! {
        server = Server::start(&config, lifecycle.clone()) => server?,
        // Nothing was answered yet, so there is nothing to finish.
        () = signals.next() => return Ok(ExitCode::SUCCESS),
    };

    signals.next().await;
    tracing::info!(seconds = config.drain_seconds, "draining: not ready, still answering");
    lifecycle.advance(Phase::LameDuck);
    let drain = async {
        tokio::time::sleep(Duration::from_secs(config.drain_seconds)).await;
        lifecycle.advance(Phase::Stopping);
        tokio::time::timeout(END, server.stopped()).await
    };
    tokio::select! {
        ended = drain => {
            if ended.is_err() {
                tracing::warn!(seconds = END.as_secs(), "requests still in progress are given up");
            }
            tracing::info!("stopped");
            Ok(ExitCode::SUCCESS)
        }
        () = signals.next() => {
            tracing::warn!("second signal: stopped at once");
            Ok(ExitCode::from(143))
        }
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
