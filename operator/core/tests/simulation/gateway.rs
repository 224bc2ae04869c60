use std::collections::BTreeMap;

use drydock_operator_core::{ParentReference, RouteParentStatus, RouteStatus};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta, Time};

use super::Cluster;

/// An implementation of the Gateway API.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// Seconds until a change of a route is accepted; `None`: refused.
    pub accepts_after: Option<i64>,
    /// When each route changed, by its kind.
    pub changed: BTreeMap<&'static str, i64>,
    /// The canary's share, in percent, that was accepted last.
    pub weight: i32,
}

impl Default for Gateway {
    fn default() -> Self {
        Self { accepts_after: Some(1), changed: BTreeMap::new(), weight: 0 }
    }
}

impl Cluster {
    /// Each parent says what it makes of a route.
    pub fn accept(&mut self) {
        let now = self.now.as_second();
        let changed = &self.gateway.changed;
        let after = self.gateway.accepts_after;
        let is_due = |kind| changed.get(kind).is_some_and(|at| now - at >= after.unwrap_or(1));
        let is_accepted = after.is_some();
        let mut all_due = true;
        let parents = |kind, metadata: &ObjectMeta, refs: &[ParentReference]| {
            let since = Timestamp::from_second(changed.get(kind).copied().unwrap_or_default()).unwrap();
            let condition = |type_: &str, refusal: &str| Condition {
                type_: type_.into(),
                status: if is_accepted { "True" } else { "False" }.into(),
                reason: if is_accepted { "Accepted" } else { refusal }.into(),
                message: String::new(),
                observed_generation: metadata.generation,
                last_transition_time: Time(since),
            };
            let one = |r: &ParentReference| {
                // A Service has no listeners.
                let refusal = if r.kind == "Service" { "NoMatchingParent" } else { "NotAllowedByListeners" };
                let conditions = ["Accepted", "ResolvedRefs"].map(|type_| condition(type_, refusal)).to_vec();
                RouteParentStatus { parent_ref: r.clone(), conditions }
            };
            Some(RouteStatus { parents: refs.iter().map(one).collect() })
        };
        let http = self.observed.http_routes.iter_mut();
        let http = http.map(|r| ("HTTPRoute", &r.metadata, &r.spec.parent_refs, &mut r.status));
        let grpc = self.observed.grpc_routes.iter_mut();
        let grpc = grpc.map(|r| ("GRPCRoute", &r.metadata, &r.spec.parent_refs, &mut r.status));
        for (kind, metadata, refs, status) in http.chain(grpc) {
            if is_due(kind) {
                let said = parents(kind, metadata, refs);
                self.wakes.changed |= *status != said;
                *status = said;
            }
            all_due &= is_due(kind);
        }
        let asked = self.asked_of_the_gateway();
        if asked.is_empty() {
            self.gateway.weight = 0;
        } else if all_due && is_accepted {
            self.gateway.weight = asked[0];
        }
    }

    /// The canary's shares, in percent, that the routes ask for.
    pub fn asked_of_the_gateway(&self) -> Vec<i32> {
        let weight = |json: serde_json::Value| {
            let rules = json["spec"]["rules"].as_array().unwrap().clone();
            let backends = rules.last().unwrap()["backendRefs"].as_array().unwrap().clone();
            i32::try_from(backends[1]["weight"].as_i64().unwrap()).unwrap()
        };
        self.routes().iter().map(|r| weight(r.to_json())).collect()
    }
}
