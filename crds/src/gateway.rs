use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who divides the requests between two revisions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Router {
    /// The inference-sidecar of each stable pod.
    #[default]
    Sidecar,
    /// A gateway or a mesh, by routes of the Gateway API.
    Gateway,
}

/// Where requests come in that `router: Gateway` divides. HTTP and gRPC have a route each: of an HTTPRoute and a GRPCRoute with the same
/// hostname on the same listener a gateway accepts only one.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.http) || has(self.grpc)")
    .message("rollout.gateway takes http, grpc or both"))]
pub struct Gateway {
    /// Of the HTTPRoute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<RouteParents>,
    /// Of the GRPCRoute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grpc: Option<RouteParents>,
}

/// What a route is attached to. A weight counts when every parent has accepted it.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteParents {
    #[schemars(length(min = 1, max = 8))]
    pub parent_refs: Vec<ParentRef>,
    /// Of the requests; none: every one that the listeners take.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        inner(
            length(min = 1, max = 253),
            regex(pattern = r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
        )
    )]
    pub hostnames: Vec<String>,
}

/// A Gateway, or for a mesh the Service that users talk to.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.kind != 'Service' || !has(self.sectionName)")
    .message("a parent of kind Service has no listeners: take sectionName out"))]
pub struct ParentRef {
    #[serde(default)]
    pub kind: ParentKind,
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Without it, that of the ModelDeployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
    /// The listener of a Gateway; without it, all of them that take the route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub section_name: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ParentKind {
    #[default]
    Gateway,
    /// The Service NAME, for a mesh that follows GAMMA.
    Service,
}

impl ParentRef {
    /// `Gateway infra/public`.
    pub fn tell(&self) -> String {
        let kind = match self.kind {
            ParentKind::Gateway => "Gateway",
            ParentKind::Service => "Service",
        };
        let namespace = self.namespace.as_ref().map(|n| format!("{n}/")).unwrap_or_default();
        format!("{kind} {namespace}{}", self.name)
    }
}
