use drydock_crds::{ParentKind, ParentRef, RouteParents};

use crate::rollout::Shares;
use crate::route::{BackendRef, GROUP, HeaderMatch, ParentReference, RouteMatch, RouteRule, RouteSpec};
use crate::{Resolved, names};

/// What both kinds of routes have in common. Both Services are there at all times, so that a change of the weight is a change of two
/// numbers. For a mesh the parent is the Service NAME, and so is a backend: that is no loop, because a parent is a Service's name and
/// address, and a backend its endpoints (GEP-1324).
pub fn route_spec(r: &Resolved, parents: &RouteParents, shares: &Shares, port: i32) -> RouteSpec {
    let backend = |name: String, weight: i32| BackendRef { name, port, weight };
    let (stable, canary) = (names::stable_service(&r.name), names::canary_service(&r.name));
    let weight = shares.weight.clamp(0, 100);
    let header = |(name, value): &(String, String)| RouteMatch {
        headers: vec![HeaderMatch { type_: "Exact".to_owned(), name: name.clone(), value: value.clone() }],
    };
    let testers = RouteRule {
        matches: shares.headers.iter().map(header).collect(),
        backend_refs: vec![backend(canary.clone(), 1)],
    };
    let everybody =
        RouteRule { matches: Vec::new(), backend_refs: vec![backend(stable, 100 - weight), backend(canary, weight)] };
    RouteSpec {
        parent_refs: parents.parent_refs.iter().map(|p| parent(p, port)).collect(),
        hostnames: parents.hostnames.clone(),
        rules: Some(testers).filter(|t| !t.matches.is_empty()).into_iter().chain([everybody]).collect(),
    }
}

fn parent(p: &ParentRef, port: i32) -> ParentReference {
    let (group, kind, port) = match p.kind {
        ParentKind::Gateway => (GROUP, "Gateway", None),
        // The HTTPRoute and the GRPCRoute of one Service are told apart by its ports.
        ParentKind::Service => ("", "Service", Some(port)),
    };
    ParentReference {
        group: group.to_owned(),
        kind: kind.to_owned(),
        name: p.name.clone(),
        namespace: p.namespace.clone(),
        section_name: p.section_name.clone(),
        port,
    }
}
