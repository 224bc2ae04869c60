//! Routes of the Gateway API (`gateway.networking.k8s.io/v1`), of which we know the fields that we own, and what a parent says of them.
//! The crate `gateway-api` has all of them, for another version of Kubernetes' types than kube 5 has.

use std::marker::PhantomData;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use k8s_openapi::{Metadata, NamespaceResourceScope, Resource};
use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Serialize, Serializer};

pub const GROUP: &str = "gateway.networking.k8s.io";

/// A route of one kind.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(bound = "")]
pub struct Route<K> {
    pub metadata: ObjectMeta,
    pub spec: RouteSpec,
    #[serde(default)]
    pub status: Option<RouteStatus>,
    #[serde(skip)]
    kind: PhantomData<K>,
}

pub type HttpRoute = Route<Http>;
pub type GrpcRoute = Route<Grpc>;

/// What tells the kinds of routes apart.
pub trait RouteKind {
    const KIND: &'static str;
    const PLURAL: &'static str;
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Http;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grpc;

impl RouteKind for Http {
    const KIND: &'static str = "HTTPRoute";
    const PLURAL: &'static str = "httproutes";
}

impl RouteKind for Grpc {
    const KIND: &'static str = "GRPCRoute";
    const PLURAL: &'static str = "grpcroutes";
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteSpec {
    #[serde(default)]
    pub parent_refs: Vec<ParentReference>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hostnames: Vec<String>,
    #[serde(default)]
    pub rules: Vec<RouteRule>,
}

/// Of what a user leaves out the API server fills in `group` and `kind`, and we leave out neither.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentReference {
    #[serde(default)]
    pub group: String,
    #[serde(default)]
    pub kind: String,
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<i32>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteRule {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub matches: Vec<RouteMatch>,
    #[serde(default)]
    pub backend_refs: Vec<BackendRef>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RouteMatch {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HeaderMatch>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HeaderMatch {
    #[serde(rename = "type")]
    pub type_: String,
    pub name: String,
    pub value: String,
}

/// A Service of the route's namespace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BackendRef {
    pub name: String,
    pub port: i32,
    /// Of the sum of those of the rule.
    #[serde(default)]
    pub weight: i32,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RouteStatus {
    #[serde(default)]
    pub parents: Vec<RouteParentStatus>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteParentStatus {
    pub parent_ref: ParentReference,
    #[serde(default)]
    pub conditions: Vec<Condition>,
}

impl<K> Route<K> {
    pub fn new(metadata: ObjectMeta, spec: RouteSpec) -> Self {
        Self { metadata, spec, status: None, kind: PhantomData }
    }
}

impl<K: RouteKind> Resource for Route<K> {
    const API_VERSION: &'static str = "gateway.networking.k8s.io/v1";
    const GROUP: &'static str = GROUP;
    const KIND: &'static str = K::KIND;
    const VERSION: &'static str = "v1";
    const URL_PATH_SEGMENT: &'static str = K::PLURAL;
    type Scope = NamespaceResourceScope;
}

impl<K: RouteKind> Metadata for Route<K> {
    type Ty = ObjectMeta;

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// With its kind, as an apply request has to have it.
impl<K: RouteKind> Serialize for Route<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut route = serializer.serialize_struct(Self::KIND, 4 + usize::from(self.status.is_some()))?;
        route.serialize_field("apiVersion", Self::API_VERSION)?;
        route.serialize_field("kind", Self::KIND)?;
        route.serialize_field("metadata", &self.metadata)?;
        route.serialize_field("spec", &self.spec)?;
        if let Some(status) = &self.status {
            route.serialize_field("status", status)?;
        }
        route.end()
    }
}

/// A route of either kind.
#[derive(Clone, Copy, Debug)]
pub struct RouteView<'a> {
    /// `HTTPRoute`.
    pub kind: &'static str,
    pub metadata: &'a ObjectMeta,
    pub spec: &'a RouteSpec,
    pub status: Option<&'a RouteStatus>,
}

impl<'a, K: RouteKind> From<&'a Route<K>> for RouteView<'a> {
    fn from(r: &'a Route<K>) -> Self {
        Self { kind: K::KIND, metadata: &r.metadata, spec: &r.spec, status: r.status.as_ref() }
    }
}

impl RouteView<'_> {
    /// Why the route does not count as it is: the first parent that has not accepted just this generation of it, and its reason.
    /// Every controller that speaks for a parent is asked (Gateway API v1, `RouteParentStatus`).
    pub fn pending(&self) -> Option<String> {
        self.spec.parent_refs.iter().find_map(|parent| self.pending_at(parent))
    }

    fn pending_at(&self, parent: &ParentReference) -> Option<String> {
        let route = format!("{} {}", self.kind, self.metadata.name.as_deref().unwrap_or_default());
        let namespace = parent.namespace.as_ref().map(|n| format!("{n}/")).unwrap_or_default();
        let at = format!("{} {namespace}{}", parent.kind, parent.name);
        let all = self.status.map(|s| s.parents.as_slice()).unwrap_or_default();
        let mut said = all.iter().filter(|p| self.is_same(&p.parent_ref, parent)).peekable();
        if said.peek().is_none() {
            return Some(format!("{at} says nothing of {route}: is there such a listener, and a controller for it?"));
        }
        said.flat_map(|p| ["Accepted", "ResolvedRefs"].map(|type_| (p, type_))).find_map(|(p, type_)| {
            let found = p.conditions.iter().find(|c| c.type_ == type_);
            match found {
                Some(c) if c.observed_generation != self.metadata.generation => {
                    Some(format!("{at} has not looked at the last change of {route}"))
                }
                Some(c) if c.status == "True" => None,
                Some(c) => {
                    let message = if c.message.is_empty() { String::new() } else { format!(": {}", c.message) };
                    Some(format!("{at} says of {route} {type_}={}, {}{message}", c.status, c.reason))
                }
                None => Some(format!("{at} does not say {type_} of {route}")),
            }
        })
    }

    fn is_same(&self, a: &ParentReference, b: &ParentReference) -> bool {
        let or = |text: &str, default: &str| if text.is_empty() { default.to_owned() } else { text.to_owned() };
        let key = |p: &ParentReference| {
            let kind = or(&p.kind, "Gateway");
            // A Service's group is the empty one.
            let group = if kind == "Service" { String::new() } else { or(&p.group, GROUP) };
            let namespace = p.namespace.clone().or_else(|| self.metadata.namespace.clone());
            (group, kind, p.name.clone(), namespace, p.section_name.clone(), p.port)
        };
        key(a) == key(b)
    }
}

#[cfg(test)]
mod tests;
