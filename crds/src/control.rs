use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// What a person decides about a rollout, as fields, so that it can be in Git.
///
/// A word that names no revision that is on its way does nothing, and may stay: the next revision has another name. `promote` and
/// `proceed` are for one attempt of it: they do nothing to a later one, until they are taken out and set again.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.abort) || ((!has(self.promote) || self.promote != self.abort) && (!has(self.proceed) || !self.proceed.startsWith(self.abort + '/')) && (!has(self.retry) || !self.retry.startsWith(self.abort + '@')))")
    .message("control.abort and control.promote, proceed or retry name the same revision: take abort out to go on with it"))]
pub struct Control {
    /// No canary starts, no step is passed and nothing is promoted. A canary that is worse is still rolled back; `suspend` stops
    /// that too.
    #[serde(default)]
    pub paused: bool,
    /// The canary of this revision skips what is left of its steps. It is judged, and scaled, as ever. Once the attempt is over,
    /// `status.rollout.promoted` has the word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[a-z0-9]{1,63}$"))]
    pub promote: Option<String>,
    /// `<revision>/<step>`: ends the pause of the step with this index, as in `status.rollout.step`. Once it has,
    /// `status.rollout.proceeded` has the word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[a-z0-9]{1,63}/[0-9]{1,2}$"))]
    pub proceed: Option<String>,
    /// Rolls the canary of this revision back, or does not start it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[a-z0-9]{1,63}$"))]
    pub abort: Option<String>,
    /// `<revision>@<n>`: forgets the failure of this revision, once. Only the last one that was seen is remembered, in
    /// `status.rollout.retried`: count n up, for one that was used before is new again after another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[a-z0-9]{1,63}@[0-9]{1,9}$"))]
    pub retry: Option<String>,
    /// A revision that is recorded, or the digest of a package: of that, the revision that was served last. It is served, without steps, whatever the rest of the spec asks for,
    /// until this is taken out. The condition `HeldBack` says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^([a-z0-9]{1,63}|sha256:[0-9a-f]{64})$"))]
    pub roll_back_to: Option<String>,
    /// Who said each word, for the records. What stands here is a claim: nobody checks it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<SaidBy>,
}

/// Names of people or machines, beside the words that they said: `kubectl drydock` writes its user's, in Git it is what stands
/// there.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SaidBy {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 320))]
    pub paused: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 320))]
    pub promote: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 320))]
    pub proceed: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 320))]
    pub abort: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 320))]
    pub retry: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 320))]
    pub roll_back_to: Option<String>,
}
