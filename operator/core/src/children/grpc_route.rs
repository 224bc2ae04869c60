use drydock_crds::RouteParents;

use super::metadata;
use super::route_spec::route_spec;
use super::serving_pod::SERVICE_GRPC_PORT;
use crate::labels::{Component, labels};
use crate::rollout::Shares;
use crate::route::GrpcRoute;
use crate::{Resolved, names};

/// How a gateway divides the requests that come over gRPC.
pub fn grpc_route(r: &Resolved, parents: &RouteParents, shares: &Shares) -> GrpcRoute {
    let metadata = metadata(r, names::route(&r.name), labels(&r.name, Component::Serving));
    GrpcRoute::new(metadata, route_spec(r, parents, shares, SERVICE_GRPC_PORT))
}
