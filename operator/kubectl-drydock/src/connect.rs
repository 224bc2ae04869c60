use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::args::Connection;
use crate::error::Error;

/// A client, and the namespace that is meant.
pub async fn connect(connection: &Connection) -> Result<(Client, String), Error> {
    let options = KubeConfigOptions { context: connection.context.clone(), ..KubeConfigOptions::default() };
    let no_cluster = |error: &dyn std::fmt::Display| Error::NoCluster(error.to_string());
    let config = match &connection.kubeconfig {
        Some(file) => {
            let kubeconfig = Kubeconfig::read_from(file).map_err(|e| no_cluster(&e))?;
            Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|e| no_cluster(&e))?
        }
        None if connection.context.is_some() => Config::from_kubeconfig(&options).await.map_err(|e| no_cluster(&e))?,
        // In a pod, where there is no file.
        None => Config::infer().await.map_err(|e| no_cluster(&e))?,
    };
    let namespace = connection.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
    let client = Client::try_from(config).map_err(|e| no_cluster(&e))?;
    Ok((client, namespace))
}
