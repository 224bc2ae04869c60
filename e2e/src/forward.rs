//! The way to a served model for single requests, on any cluster: `kubectl port-forward`.

use anyhow::{Context as _, Result};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::kubernetes::Space;

/// Both ports of a Service, on this machine's loopback, until it is dropped.
///
/// It needs nothing but the API server. But it ends at the one pod that kubectl chose, and with it: what must hold while pods
/// come and go is for a [`LoadPod`](crate::load_pod::LoadPod).
#[derive(Debug)]
pub struct Forward {
    /// `http://127.0.0.1:PORT` of the REST port.
    pub http: String,
    /// `http://127.0.0.1:PORT` of the gRPC port.
    pub grpc: String,
    _kubectl: Child,
}

impl Forward {
    pub async fn to(space: &Space, service: &str) -> Result<Self> {
        let target = format!("service/{service}");
        let mut kubectl = Command::new("kubectl")
            .args(["-n", &space.name, "port-forward", "--address", "127.0.0.1", &target, ":http", ":grpc"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot run kubectl")?;
        let mut lines = BufReader::new(kubectl.stdout.take().context("no standard output")?).lines();
        let mut next = async || {
            let line = lines.next_line().await?.context("kubectl port-forward ended; what it said is above")?;
            // "Forwarding from 127.0.0.1:40001 -> 8080", in the order of the arguments.
            let port = line.split(' ').nth(2).with_context(|| format!("kubectl port-forward said {line:?}"))?;
            anyhow::Ok(format!("http://{port}"))
        };
        let (http, grpc) = (next().await?, next().await?);
        // Whatever it says later is read by nobody, and must not stop it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self { http, grpc, _kubectl: kubectl })
    }
}
