//! What a gateway does, and what it should.

use drydock_crds::{Gateway, ParentKind, ParentRef, RouteParents, Router};
use k8s_openapi::api::core::v1::Pod;

use super::tracks;
use crate::children::{grpc_route, http_route};
use crate::labels;
use crate::rollout::{Routes, Shares};
use crate::route::{ParentReference, RouteView};
use crate::{Child, ChildKind, Observed, Resolved, compare, names};

/// The routes that should be there; none where the cluster does not have the API for them.
pub fn wanted(r: &Resolved, observed: &Observed, shares: &Shares) -> Vec<Child> {
    let gateway = r.rollout.gateway.as_ref().filter(|_| r.rollout.router == Router::Gateway && observed.gateway_api);
    let Some(Gateway { http, grpc }) = gateway else { return Vec::new() };
    let http = http.iter().map(|p| Child::HttpRoute(Box::new(http_route::http_route(r, p, shares))));
    let grpc = grpc.iter().map(|p| Child::GrpcRoute(Box::new(grpc_route::grpc_route(r, p, shares))));
    http.chain(grpc).collect()
}

/// How those that are there stand to these shares.
pub fn see(r: &Resolved, observed: &Observed, shares: &Shares) -> Routes {
    if r.rollout.router != Router::Gateway {
        return Routes::InForce;
    }
    if !observed.gateway_api {
        return Routes::ApiMissing;
    }
    let pending = wanted(r, observed, shares).into_iter().find_map(|child| {
        let is_of = |route: &RouteView<'_>| child.kind().kind() == route.kind;
        let Some(route) = own(r, observed).find(is_of) else { return Some(format!("{child} is being made")) };
        let wanted = child.to_json();
        let holds = wanted.get("spec").is_some_and(|spec| compare::holds(spec, route.spec));
        if holds { route.pending() } else { Some(format!("{child} is being changed")) }
    });
    pending.map_or(Routes::InForce, Routes::Pending)
}

/// Whether the router before still sends requests to the canary: one after the other, or a request is divided twice.
pub fn other_sends(r: &Resolved, observed: &Observed, stable: &[&Pod]) -> bool {
    match r.rollout.router {
        Router::Gateway => stable
            .iter()
            .any(|p| tracks::told(p).is_some_and(|s| s.weight > 0 || s.shadow > 0 || !s.matches.is_empty())),
        Router::Sidecar => own(r, observed).any(|route| sends(r, &route)),
    }
}

/// Ours, and not on their way out.
fn own<'a>(r: &'a Resolved, observed: &'a Observed) -> impl Iterator<Item = RouteView<'a>> {
    let name = names::route(&r.name);
    observed.routes().filter(move |route| {
        route.metadata.name.as_ref() == Some(&name)
            && labels::is_controlled_by(route.metadata, &r.owner.uid)
            && route.metadata.deletion_timestamp.is_none()
    })
}

fn sends(r: &Resolved, route: &RouteView<'_>) -> bool {
    let canary = names::canary_service(&r.name);
    let backends = route.spec.rules.iter().flat_map(|rule| &rule.backend_refs);
    backends.into_iter().any(|b| b.name == canary && b.weight > 0)
}

/// What a pod of a canary is needed for until its gateway sends it nothing.
pub fn is_serving(kind: ChildKind) -> bool {
    matches!(kind, ChildKind::Deployment | ChildKind::Autoscaler)
}

/// The parents of the routes that are there: what is known of the gateway when the spec cannot be read.
pub fn found(r: &Resolved, observed: &Observed) -> Option<Gateway> {
    let of = |kind: ChildKind| {
        let route = own(r, observed).find(|route| route.kind == kind.kind())?;
        let parent_refs = route.spec.parent_refs.iter().map(parent).collect();
        Some(RouteParents { parent_refs, hostnames: route.spec.hostnames.clone() })
    };
    let gateway = Gateway { http: of(ChildKind::HttpRoute), grpc: of(ChildKind::GrpcRoute) };
    (gateway != Gateway::default()).then_some(gateway)
}

fn parent(p: &ParentReference) -> ParentRef {
    ParentRef {
        kind: if p.kind == "Service" { ParentKind::Service } else { ParentKind::Gateway },
        name: p.name.clone(),
        namespace: p.namespace.clone(),
        section_name: p.section_name.clone(),
    }
}
