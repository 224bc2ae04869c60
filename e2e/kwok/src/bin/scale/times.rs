//! What happened when, as a watcher beside the controller sees it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use futures::{Stream, StreamExt as _};
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DynamicObject, PartialObjectMeta};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};

use crate::contender::Contender;

/// Of one object, in this phase.
#[derive(Clone, Copy, Debug, Default)]
struct Moments {
    asked: Option<Instant>,
    first_child: Option<Instant>,
    pod_ready: Option<Instant>,
    settled: Option<Instant>,
}

#[derive(Debug, Default)]
pub struct Times {
    moments: Mutex<HashMap<String, Moments>>,
    /// The image that each object that is there has settled with.
    images: Mutex<HashMap<String, Option<String>>>,
}

impl Times {
    /// Another phase begins.
    pub fn forget(&self) {
        self.moments.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The API server has taken it.
    pub fn asked(&self, name: &str) {
        self.note(name, |m| &mut m.asked);
    }

    fn note(&self, name: &str, which: impl Fn(&mut Moments) -> &mut Option<Instant>) {
        let mut moments = self.moments.lock().unwrap_or_else(PoisonError::into_inner);
        which(moments.entry(name.to_owned()).or_default()).get_or_insert_with(Instant::now);
    }

    /// How many have settled with this image.
    pub fn settled(&self, image: &str) -> usize {
        let images = self.images.lock().unwrap_or_else(PoisonError::into_inner);
        images.values().filter(|settled| settled.as_deref() == Some(image)).count()
    }

    pub fn left(&self) -> usize {
        self.images.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub fn summary(&self) -> String {
        format!(
            "{} are there, {} of image 1 and {} of image 2",
            self.left(),
            self.settled("sidecar:1"),
            self.settled("sidecar:2")
        )
    }

    /// p50 and p99 in seconds, of what happened in this phase.
    pub fn quantiles(&self) -> BTreeMap<&'static str, Value> {
        let moments = self.moments.lock().unwrap_or_else(PoisonError::into_inner);
        let all = BTreeMap::from([
            ("toFirstChild", spans(&moments, |m| m.asked, |m| m.first_child)),
            ("fromPodReadyToSettled", spans(&moments, |m| m.pod_ready, |m| m.settled)),
            ("toSettled", spans(&moments, |m| m.asked, |m| m.settled)),
        ]);
        all.into_iter().filter(|(_, q)| q["count"] != 0).collect()
    }
}

type Moment = fn(&Moments) -> Option<Instant>;

fn spans(moments: &HashMap<String, Moments>, from: Moment, to: Moment) -> Value {
    let between = |m: &Moments| to(m)?.checked_duration_since(from(m)?);
    let mut all: Vec<f64> = moments.values().filter_map(between).map(|d| d.as_secs_f64()).collect();
    all.sort_by(f64::total_cmp);
    let at = |q: f64| all.get(((all.len() as f64 * q) as usize).min(all.len().saturating_sub(1))).copied();
    json!({"count": all.len(), "p50": at(0.5), "p99": at(0.99)})
}

/// Watches until the process ends.
pub fn watch(client: &Client, of: Contender, times: &Arc<Times>) {
    let space = of.namespace();
    let objects: Api<DynamicObject> = Api::namespaced_with(client.clone(), space, &of.resource());
    let seen = times.clone();
    each(watcher(objects, watcher::Config::default()), move |object, is_gone| {
        let name = object.name_any();
        let mut images = seen.images.lock().unwrap_or_else(PoisonError::into_inner);
        if is_gone {
            images.remove(&name);
            return;
        }
        let image = ["sidecar:1", "sidecar:2"].into_iter().find(|image| of.is_settled(&object, image));
        if image.is_some() {
            seen.note(&name, |m| &mut m.settled);
        }
        images.insert(name, image.map(ToOwned::to_owned));
    });
    let seen = times.clone();
    let pods = Api::<Pod>::namespaced(client.clone(), space);
    each(watcher(pods, watcher::Config::default()), move |pod, is_gone| {
        let conditions = pod.status.as_ref().and_then(|s| s.conditions.as_deref()).unwrap_or_default();
        let is_ready = conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True");
        // An optimization Job's pod serves nobody.
        let serves = !pod.labels().contains_key("batch.kubernetes.io/job-name");
        if let Some(name) = pod.labels().get(of.pod_label()).filter(|_| is_ready && serves && !is_gone) {
            // The newest pod's, where there are two.
            let mut moments = seen.moments.lock().unwrap_or_else(PoisonError::into_inner);
            let pod_ready = &mut moments.entry(name.clone()).or_default().pod_ready;
            pod_ready.get_or_insert_with(Instant::now);
        }
    });
    // What is made first: the optimization Job here, the ReplicaSet there.
    match of {
        Contender::Drydock => first_child::<Job>(client, of, times),
        Contender::Argo => first_child::<ReplicaSet>(client, of, times),
    }
}

fn first_child<K>(client: &Client, of: Contender, times: &Arc<Times>)
where
    K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned
        + Send
        + 'static,
{
    let seen = times.clone();
    let api = Api::<PartialObjectMeta<K>>::namespaced(client.clone(), of.namespace());
    each(watcher(api, watcher::Config::default()), move |child, is_gone| {
        let owner = child.owner_references().first().map(|owner| owner.name.clone());
        if let Some(owner) = owner.filter(|_| !is_gone) {
            seen.note(&owner, |m| &mut m.first_child);
        }
    });
}

fn each<K: Send + 'static>(
    events: impl Stream<Item = Result<Event<K>, watcher::Error>> + Send + 'static,
    mut see: impl FnMut(K, bool) + Send + 'static,
) {
    tokio::spawn(async move {
        futures::pin_mut!(events);
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Apply(object) | Event::InitApply(object)) => see(object, false),
                Ok(Event::Delete(object)) => see(object, true),
                Ok(_) | Err(_) => {}
            }
        }
    });
}
