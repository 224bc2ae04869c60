use drydock_crds::RouteParents;

use super::metadata;
use super::route_spec::route_spec;
use super::serving_pod::SERVICE_HTTP_PORT;
use crate::labels::{Component, labels};
use crate::rollout::Shares;
use crate::route::HttpRoute;
use crate::{Resolved, names};

/// How a gateway divides the requests that come over HTTP.
pub fn http_route(r: &Resolved, parents: &RouteParents, shares: &Shares) -> HttpRoute {
    let metadata = metadata(r, names::route(&r.name), labels(&r.name, Component::Serving));
    HttpRoute::new(metadata, route_spec(r, parents, shares, SERVICE_HTTP_PORT))
}
