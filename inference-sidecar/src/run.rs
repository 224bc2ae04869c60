use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::budget::Budget;
use crate::config::Config;
use crate::connection::{self, Kind, Places, Port};
use crate::error::StartError;
use crate::lifecycle::{Lifecycle, Phase};
use crate::load::{Loaded, load_aside};
use crate::metrics::{Metrics, Reload};
use crate::queue::Queue;
use crate::serve::{App, Current, Model, QUESTIONS_BYTES};
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
    config: Arc<Config>,
    current: Current,
    tasks: TaskTracker,
}

impl Server {
    /// Returns when the model has run once and all ports are open. It stops as `lifecycle` says.
    pub async fn start(config: &Config, lifecycle: Lifecycle) -> Result<Self, StartError> {
        let start = Instant::now();
        let (config, metrics) = (Arc::new(config.clone()), Arc::new(Metrics::new()));
        let Loaded { model, manifest } = load_aside(&config, config.expected()?, &metrics).await?;
        metrics.serves(&manifest, &model);
        let current = Current::new(app(&config, model, metrics, lifecycle.clone())?);
        let app = current.app();

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
        let places = |connections| Places::new(connections, app.metrics.connections_refused.clone());
        let places_of_admin = places(ADMIN_CONNECTIONS);
        let places = places(max_connections);
        let port = |kind: Kind, router: Router, full: Router, places: &Places| Port {
            kind,
            router,
            full,
            places: places.of_port(),
            keep_alive: config.keep_alive(),
        };
        let full = http::full_router(current.clone(), ADMIN_CONNECTIONS);
        let admin = port(Kind::Http, admin::router(current.clone()), full, &places_of_admin);
        let router = grpc::router(current.clone()).await;
        let full = grpc::full_router(router.clone(), current.clone(), max_connections);
        let grpc = port(Kind::Grpc, router, full, &places);
        let full = http::full_router(current.clone(), max_connections);
        let http = port(Kind::Http, http::router(current.clone(), config.page), full, &places);
        let grpc = listen(config.grpc_port, grpc).await?;
        let http = listen(config.http_port, http).await?;
        // Last: it says that the pod is ready.
        let admin = listen(config.admin_port, admin).await?;
        // What large requests have left, when there are none: 25 MB after JSON of 3 MB on four connections.
        let idle = current.clone();
        tokio::spawn(drydock_heap::give_back_while(move || idle.app().is_idle()));
        if let (Some(path), Some(splitter)) = (config.split_file.clone(), app.splitter.clone()) {
            tokio::spawn(split::send_synthetic(current.clone(), splitter.clone()));
            tokio::spawn(split::watch(path, splitter, app.lifecycle.clone()));
        }
        let (model, layout) = (&app.model, app.model.queue.config().layout);
        tracing::info!(
            model = model.name, revision = model.revision, digest = %model.digest, %http, %grpc, %admin,
            sessions = layout.sessions, threads = layout.threads, provider = model.provider, bytes_in_flight = app.budget.total(), milliseconds = start.elapsed().as_secs_f64() * 1000.0, "ready",
        );
        Ok(Self { http, grpc, admin, config, current, tasks })
    }

    /// Serves the package that the configuration names now in the place of the one that is served: it is loaded and has run beside the
    /// old one before it gets the first request, and the old one goes when it has answered its last. An error leaves all as it was.
    ///
    /// # Errors
    /// What would have kept the server from starting with that package.
    pub async fn reload(&self) -> Result<(), StartError> {
        let (start, old) = (Instant::now(), self.current.app());
        let result = self.replace(&old).await;
        let reload = match &result {
            Ok(true) => {
                let (now, milliseconds) = (self.current.app(), start.elapsed().as_secs_f64() * 1000.0);
                let (before, revision, digest) = (&old.model.revision, &now.model.revision, &now.model.digest);
                tracing::info!(before, revision, %digest, milliseconds, "another package is served");
                Reload::swapped
            }
            Ok(false) => {
                tracing::warn!(
                    digest = %old.model.digest,
                    "asked to serve another package, but the digest is the same; the file of --digest-file names another, --digest cannot",
                );
                Reload::unchanged
            }
            Err(e) => {
                tracing::error!(error = %e, serving = %old.model.digest, "the new package is refused; the old one is served on");
                Reload::refused
            }
        };
        old.metrics.reload(reload);
        result.map(drop)
    }

    /// Whether there was something to replace.
    async fn replace(&self, old: &App) -> Result<bool, StartError> {
        let expected = self.config.expected()?;
        if expected == old.model.digest {
            return Ok(false);
        }
        let Loaded { model, manifest } = load_aside(&self.config, expected, &old.metrics).await?;
        old.metrics.serves(&manifest, &model);
        self.current.replace(old.with(model));
        Ok(true)
    }

    /// Returns when the last connection has ended, which nothing before [`Phase::Stopping`] makes them do.
    pub async fn stopped(self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

fn app(config: &Config, model: Model, metrics: Arc<Metrics>, lifecycle: Lifecycle) -> Result<App, StartError> {
    let admission = Arc::new(Semaphore::new(model.queue.limit()));
    let budget = config.budget();
    // Of a larger body it would be a lie that there is room for it later.
    let max_body_bytes = config.max_body_bytes.min(budget.total());
    let splitter = splitter(config, &model.queue, &metrics)?.map(Arc::new);
    let questions = Budget::new(QUESTIONS_BYTES);
    Ok(App { model, splitter, metrics, lifecycle, max_body_bytes, admission, budget, questions })
}

fn splitter(config: &Config, queue: &Queue, metrics: &Arc<Metrics>) -> Result<Option<Splitter>, StartError> {
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
    let waiting = (queue.limit() / 2).max(1);
    let comparing = queue.config().layout.sessions * 2;
    Ok(Some(Splitter::new(http, grpc, waiting, comparing, metrics.clone())))
}

/// Serves until SIGTERM or SIGINT, then drains, and reloads on SIGHUP; a second signal ends the process at once.
pub async fn run(config: Config) -> Result<ExitCode, StartError> {
    let mut signals = Signals::new().map_err(StartError::Thread)?;
    // From the beginning: it would end a process that does not listen for it.
    let mut hang_up = signal(SignalKind::hangup()).map_err(StartError::Thread)?;
    let lifecycle = Lifecycle::default();
    let server = tokio::select! {
        server = Server::start(&config, lifecycle.clone()) => server?,
        // Nothing was answered yet, so there is nothing to finish.
        () = signals.next() => return Ok(ExitCode::SUCCESS),
    };

    loop {
        tokio::select! {
            () = signals.next() => break,
            // A package that is being loaded when the end comes is never served.
            _ = hang_up.recv() => tokio::select! {
                () = signals.next() => break,
                // What came of it is in the log and in the metrics.
                _ = server.reload() => {}
            },
        }
    }
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
