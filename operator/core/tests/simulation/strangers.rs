use std::borrow::Cow;

use drydock_operator_core::{ChildRef, Observed, Plan, pods_to_ask};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::{Cluster, children};

/// Whose a copy of something of ours is.
#[derive(Clone, Copy, Debug)]
pub enum Owner {
    /// An export that was applied again, or what a deletion with `--cascade=orphan` has left.
    Nobody,
    /// What a ModelDeployment of this name that was deleted has left.
    Another,
    /// Ours, by a reference that makes it nobody's controller.
    InNameOnly,
}

const COPY: &str = "-copy";

impl Owner {
    pub fn of(number: u8) -> Self {
        [Self::Nobody, Self::Another, Self::InNameOnly][usize::from(number % 3)]
    }

    fn takes(self, metadata: &mut ObjectMeta) {
        let another = |o: OwnerReference| {
            // No two ReplicaSets have one name, and a pod tells nothing else of its own.
            let name = if o.kind == "ReplicaSet" { o.name + COPY } else { o.name };
            OwnerReference { name, uid: "another".into(), ..o }
        };
        let in_name_only = |o: OwnerReference| OwnerReference { controller: None, ..o };
        metadata.owner_references = metadata.owner_references.take().and_then(|owners| match self {
            Self::Nobody => None,
            Self::Another => Some(owners.into_iter().map(another).collect()),
            Self::InNameOnly => Some(owners.into_iter().map(in_name_only).collect()),
        });
        metadata.uid = metadata.uid.as_ref().map(|uid| format!("{uid}{COPY}"));
    }
}

macro_rules! each_list {
    ($with:ident) => {
        $with!(claims, jobs, pods, revisions, deployments, services, autoscalers, budgets, http_routes, grpc_routes)
    };
}

impl Cluster {
    /// What a pass sees: everything that bears our labels.
    pub fn seen(&self) -> Cow<'_, Observed> {
        if self.strangers == Observed::default() {
            return Cow::Borrowed(&self.observed);
        }
        let mut all = self.observed.clone();
        macro_rules! add {
            ($($list:ident),*) => {$( all.$list.extend(self.strangers.$list.iter().cloned()); )*};
        }
        each_list!(add);
        Cow::Owned(all)
    }

    /// Somebody has copies of all that is ours, under other names, in place of those of before.
    pub fn copy(&mut self, owner: Owner) {
        self.wakes.changed = true;
        macro_rules! copy {
            ($($list:ident),*) => {$(
                self.strangers.$list.retain(|o| !is_copy(&o.metadata));
                self.strangers.$list.extend(self.observed.$list.iter().cloned().map(|mut o| {
                    owner.takes(&mut o.metadata);
                    o.metadata.name = o.metadata.name.map(|name| name + COPY);
                    o
                }));
            )*};
        }
        each_list!(copy);
    }

    /// One of ours is deleted, and somebody has another under its name. It has no pods: by what those tell of themselves they would be ours.
    pub fn usurp(&mut self, child: &ChildRef, owner: Owner) {
        macro_rules! take {
            ($($list:ident),*) => {$(
                let found = self.observed.$list.iter().find(|o| o.metadata.uid.as_ref() == Some(&child.uid));
                self.strangers.$list.extend(found.cloned().map(|mut o| {
                    owner.takes(&mut o.metadata);
                    o
                }));
            )*};
        }
        each_list!(take);
        self.remove(child);
    }

    /// Nobody has a name of ours any more; copies stay.
    pub fn free_names(&mut self) {
        self.wakes.changed = true;
        macro_rules! free {
            ($($list:ident),*) => {$( self.strangers.$list.retain(|o| is_copy(&o.metadata)); )*};
        }
        each_list!(free);
    }

    /// Nothing is done to what is not ours, and nobody else's pods are asked what they have seen.
    pub fn leaves_strangers_alone(&self, plan: &Plan) {
        let all = children(&self.strangers);
        for child in plan.writes.iter().chain(&plan.records) {
            let is_it = |s: &&ChildRef| s.kind == child.kind() && s.name == child.name();
            assert_eq!(all.iter().find(is_it), None, "{child} is written");
        }
        for gone in &plan.prune {
            assert!(all.iter().all(|s| s.uid != gone.uid), "{gone} is deleted: {}", gone.uid);
        }
        let named = |metadata: &ObjectMeta, name: &str| metadata.name.as_deref() == Some(name);
        for scale in &plan.scales {
            let is_it = self.strangers.deployments.iter().any(|d| named(&d.metadata, &scale.deployment));
            assert!(!is_it, "{scale:?}");
        }
        let pods = &self.strangers.pods;
        assert!(!plan.splits.iter().any(|s| pods.iter().any(|p| named(&p.metadata, &s.pod))), "{:?}", plan.splits);
        assert_eq!(pods_to_ask("fashion", self.md.status.as_ref(), pods), vec![]);
    }
}

fn is_copy(metadata: &ObjectMeta) -> bool {
    metadata.name.as_ref().is_some_and(|name| name.ends_with(COPY))
}
