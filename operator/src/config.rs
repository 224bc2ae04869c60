use drydock_operator_core::Defaults;

use crate::shard::Shard;
use crate::sources::Hosts;

/// How the operator was started.
#[derive(Debug, Clone)]
pub struct Config {
    pub defaults: Defaults,
    /// The one namespace to watch; `None`: all.
    pub namespace: Option<String>,
    pub shard: Shard,
    /// Of `/metrics`, `/livez` and `/readyz`.
    pub http_port: u16,
    pub concurrency: u16,
    /// Whom `analysis.external` may ask.
    pub external_hosts: Hosts,
    /// Of this replica, in the Lease and in events.
    pub identity: String,
    /// `None`: no election; only for one replica alone.
    pub lease: Option<LeaseName>,
}

#[derive(Debug, Clone)]
pub struct LeaseName {
    pub name: String,
    /// `None`: the namespace of the kubeconfig or of the service account.
    pub namespace: Option<String>,
}
