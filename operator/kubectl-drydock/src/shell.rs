//! What is asked of the cluster, and the one write.

use std::time::Duration;

use drydock_crds::ModelDeployment;
use drydock_operator::{ClusterError, Kubernetes, ReadCluster as _, Target, observe};
use drydock_operator_core::Observed;
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::api::{DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::ApiResource;
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::error::Error;
use crate::word::{Word, taking_out};

/// Whose fields `spec.rollout.control` are that this plugin writes.
pub const MANAGER: &str = "kubectl-drydock";
const LOOK: Duration = Duration::from_millis(500);
/// For the operator to see that a word was taken out.
const FORGET_WITHIN: Duration = Duration::from_secs(20);

pub struct Shell {
    client: Client,
    cluster: Kubernetes,
    pub target: Target,
}

impl Shell {
    pub fn new(client: Client, target: Target) -> Result<Self, Error> {
        let cluster = Kubernetes::reading(client.clone()).map_err(|e| Error::NoCluster(e.to_string()))?;
        Ok(Self { client, cluster, target })
    }

    pub fn api(&self) -> Api<ModelDeployment> {
        Api::namespaced(self.client.clone(), &self.target.namespace)
    }

    pub async fn find(&self) -> Result<Option<ModelDeployment>, Error> {
        let Some(object) = self.cluster.model_deployment(&self.target).await? else { return Ok(None) };
        let md = serde_json::to_value(object).and_then(serde_json::from_value);
        md.map(Some).map_err(|e| Error::Unreadable(self.target.clone(), e))
    }

    pub async fn read(&self) -> Result<ModelDeployment, Error> {
        match self.find().await? {
            Some(md) => Ok(md),
            None => Err(self.missing().await),
        }
    }

    /// Why it is not there: no such object, or no such kind.
    async fn missing(&self) -> Error {
        match self.api().list_metadata(&ListParams::default().limit(50)).await {
            Ok(list) => {
                let names: Vec<String> = list.items.iter().map(kube::ResourceExt::name_any).collect();
                let others = match names.as_slice() {
                    [] => "; the namespace has none".to_owned(),
                    names => format!("; there are: {}", names.join(", ")),
                };
                Error::NoObject { target: self.target.clone(), others }
            }
            Err(kube::Error::Api(status)) if status.is_not_found() => Error::NoCrd,
            Err(error) => error.into(),
        }
    }

    /// Its children. Pods are not asked what they have counted: they can seldom be reached from here.
    pub async fn observed(&self) -> Result<Observed, Error> {
        Ok(Box::pin(observe(&self.cluster, &self.target, None)).await?)
    }

    /// Before the children of an object with a gateway are read: only the operator looks for the Gateway API by itself. For others it is
    /// not asked, as not everybody may list routes.
    pub async fn look_for_the_gateway_api(&self) {
        self.cluster.gateway_api.look_once(&self.client).await;
    }

    pub async fn recorded(&self) -> Result<Vec<ControllerRevision>, Error> {
        Ok(self.cluster.listed(&self.target).await?)
    }

    /// Who the API server takes us for.
    pub async fn who(&self) -> Result<Option<String>, kube::Error> {
        let api: Api<SelfSubjectReview> = Api::all(self.client.clone());
        let review = api.create(&PostParams::default(), &SelfSubjectReview::default()).await?;
        Ok(review.status.and_then(|s| s.user_info).and_then(|u| u.username).filter(|name| !name.is_empty()))
    }

    /// Says a word; one that has had its effect on an earlier attempt is taken out first, so that it is a new one.
    pub async fn say(&self, word: &Word) -> Result<(), Error> {
        if let Some(spent) = word.spent {
            self.patch(&taking_out(word)).await?;
            self.until_forgotten(spent).await?;
        }
        self.patch(&word.control).await
    }

    /// A merge patch: it touches the words that it names, whoever has written them, and no others.
    async fn patch(&self, control: &Value) -> Result<(), Error> {
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let patch = Patch::Merge(json!({ "spec": { "rollout": { "control": control } } }));
        self.api().patch_metadata(&self.target.name, &params, &patch).await?;
        Ok(())
    }

    async fn until_forgotten(&self, spent: &'static str) -> Result<(), Error> {
        let until = Instant::now() + FORGET_WITHIN;
        loop {
            let rollout = self.read().await?.status.and_then(|s| s.rollout).unwrap_or_default();
            let word = if spent == "promoted" { rollout.promoted } else { rollout.proceeded };
            if word.is_none() {
                return Ok(());
            }
            if Instant::now() >= until {
                return Err(Error::NotForgotten(spent, FORGET_WITHIN.as_secs()));
            }
            sleep(LOOK).await;
        }
    }

    /// What would stand in the cluster, by a server-side dry run: its rules are held against it, and nothing is written.
    pub async fn dry_run(&self, object: &Value, is_there: bool) -> Result<ModelDeployment, Error> {
        let unreadable = |e| Error::Unreadable(self.target.clone(), e);
        // Untyped: what this plugin cannot read is refused by the API server, in better words.
        let object: DynamicObject = serde_json::from_value(object.clone()).map_err(unreadable)?;
        let kind = ApiResource::erase::<ModelDeployment>(&());
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &self.target.namespace, &kind);
        let params = PostParams { dry_run: true, field_manager: Some(MANAGER.to_owned()) };
        let answer = if is_there {
            api.replace(&self.target.name, &params, &object).await
        } else {
            api.create(&params, &object).await
        };
        let answer = answer.map_err(|e| Error::Invalid(ClusterError::from(e)))?;
        serde_json::to_value(answer).and_then(serde_json::from_value).map_err(unreadable)
    }
}
