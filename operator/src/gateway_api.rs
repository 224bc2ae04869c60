//! Whether the cluster has the Gateway API: it may be installed after the operator, or never.

use std::time::Duration;

use drydock_operator_core::{GATEWAY_API_GROUP, GrpcRoute, HttpRoute};
use kube::{Client, Resource as _};
use tokio::sync::watch;

/// Between two looks for it. Nobody waits for it but those whose spec asks for a gateway, and they are told.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// Known to all who have a copy.
#[derive(Clone, Debug)]
pub struct GatewayApi(watch::Sender<bool>);

impl Default for GatewayApi {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl GatewayApi {
    #[cfg(test)]
    pub fn there() -> Self {
        Self(watch::Sender::new(true))
    }

    pub fn is_there(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns once it is there.
    pub async fn found(&self) {
        // The sender is `self`, and lives.
        let _ = self.0.subscribe().wait_for(|is_there| *is_there).await;
    }

    /// Looks for it until it is there.
    pub async fn look(&self, client: &Client) {
        while !self.look_once(client).await {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        tracing::info!("the cluster has the Gateway API");
    }

    /// Whether it is there now.
    pub async fn look_once(&self, client: &Client) -> bool {
        let is_there = has_routes(client).await;
        if is_there {
            self.0.send_replace(true);
        }
        is_there
    }
}

async fn has_routes(client: &Client) -> bool {
    let version = format!("{GATEWAY_API_GROUP}/v1");
    match client.list_api_group_resources(&version).await {
        Ok(found) => [HttpRoute::plural(&()), GrpcRoute::plural(&())]
            .iter()
            .all(|plural| found.resources.iter().any(|r| r.name == plural.as_ref())),
        // In plain text, so without a reason.
        Err(kube::Error::Api(s)) if s.code == 404 => false,
        Err(error) => {
            tracing::warn!(%error, "cannot tell whether the cluster has the Gateway API; asked again");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixtures::{client, lines};

    fn resources(plurals: &[&str]) -> serde_json::Value {
        let resources: Vec<_> = plurals
            .iter()
            .map(|name| json!({ "name": name, "singularName": "", "kind": "K", "namespaced": true, "verbs": ["list"] }))
            .collect();
        json!({ "kind": "APIResourceList", "groupVersion": "gateway.networking.k8s.io/v1", "resources": resources })
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_installed_later_is_found() {
        let mut asked = 0;
        let (client, log) = client(move |_| {
            asked += 1;
            match asked {
                1 => (404, "404 page not found".into()),
                // Half of it.
                2 => (200, resources(&["gateways", "httproutes"])),
                _ => (200, resources(&["gateways", "grpcroutes", "httproutes"])),
            }
        });
        let api = GatewayApi::default();
        let began = tokio::time::Instant::now();
        tokio::join!(api.found(), api.look(&client));
        assert!(api.is_there());
        assert_eq!(lines(&log), ["GET /apis/gateway.networking.k8s.io/v1"; 3]);
        assert_eq!(began.elapsed().as_secs(), 2 * LOOK_EVERY.as_secs());
    }
}
