use std::fmt::Write as _;

use drydock_contract::Split;
use drydock_operator_core::{Child, Plan};

use super::{Cluster, START};

/// `20 % on`.
fn sends(split: &Split) -> String {
    let mut text = format!("{} % on", split.weight);
    for m in &split.matches {
        write!(text, ", whatever has {:?} = {}", m.key, m.value).unwrap();
    }
    if let Some(key) = &split.sticky {
        write!(text, ", by the hash of {key:?}").unwrap();
    }
    if split.shadow > 0 {
        write!(text, ", and copies of {} %", split.shadow).unwrap();
    }
    text
}

/// `, 80 fashion and 20 fashion-canary`.
fn shares(route: &serde_json::Value) -> String {
    let rules = route["spec"]["rules"].as_array().unwrap();
    let rule = |rule: &serde_json::Value| {
        let backends = rule["backendRefs"].as_array().unwrap().iter();
        let each: Vec<_> = backends.map(|b| format!("{} {}", b["weight"], b["name"].as_str().unwrap())).collect();
        let headers = rule["matches"].as_array().map(|m| format!(" of {} headers", m.len())).unwrap_or_default();
        format!(", {}{headers}", each.join(" and "))
    };
    rules.iter().map(rule).collect()
}

/// What happens to a cluster, as text: a line when something changes, with the reason.
#[derive(Debug)]
pub struct Story {
    pub cluster: Cluster,
    text: String,
    last: String,
    revisions: Vec<String>,
}

impl Story {
    pub fn of(cluster: Cluster) -> Self {
        Self { cluster, text: String::new(), last: String::new(), revisions: Vec::new() }
    }

    /// Somebody does something.
    pub fn act(&mut self, what: &str, act: impl FnOnce(&mut Cluster)) {
        let t = self.time();
        writeln!(self.text, "{t:>4}s  * {what}").unwrap();
        act(&mut self.cluster);
    }

    pub fn run(&mut self, seconds: usize) {
        for _ in 0..seconds {
            let plan = self.cluster.reconcile(None);
            self.tell(&plan);
            self.cluster.second();
        }
    }

    fn time(&self) -> i64 {
        self.cluster.now.as_second() - START
    }

    fn tell(&mut self, plan: &Plan) {
        let t = self.time();
        let status = self.cluster.status();
        let rollout = status.rollout.clone().unwrap_or_default();
        let track = |t: &Option<drydock_crds::TrackStatus>| {
            t.as_ref().map_or_else(|| "-".to_owned(), |t| format!("{} {}/{}", t.revision, t.ready_replicas, t.replicas))
        };
        let mut line = format!(
            "{:?}/{:?}/{} weight={} stable={} canary={}",
            status.phase,
            rollout.stage,
            rollout.step,
            if status.canary_weight.is_empty() { "-" } else { &status.canary_weight },
            track(&status.stable),
            track(&status.canary),
        );
        for c in &status.conditions {
            if ["Ready", "Reconciling", "Stalled", "HeldBack"].contains(&c.type_.as_str()) {
                write!(line, " {}={}", c.type_, c.status).unwrap();
            }
        }
        let reason = status.conditions.iter().find(|c| c.type_ == "Ready").map_or("", |c| c.reason.as_str());
        write!(line, " {reason}: {}", status.message).unwrap();
        let mut told = String::new();
        for n in &plan.notices {
            writeln!(told, "{t:>4}s  {} {}: {}", if n.warning { '!' } else { '.' }, n.reason, n.note).unwrap();
        }
        for child in &plan.writes {
            let least = match child {
                Child::Autoscaler(hpa) => format!(", at least {}", hpa.spec.min_replicas.unwrap_or(1)),
                Child::HttpRoute(_) | Child::GrpcRoute(_) => shares(&child.to_json()),
                _ => String::new(),
            };
            writeln!(told, "{t:>4}s    write {child}{least}").unwrap();
        }
        for scale in &plan.scales {
            writeln!(told, "{t:>4}s    scale {} to {}", scale.deployment, scale.replicas).unwrap();
        }
        for split in &plan.splits {
            let what = match &split.split {
                None => "nothing on".to_owned(),
                Some(split) if split.replaced => "its clients away".to_owned(),
                Some(split) => sends(split),
            };
            writeln!(told, "{t:>4}s    pod {} sends {what}", split.pod).unwrap();
        }
        for child in &plan.records {
            writeln!(told, "{t:>4}s    record {child}").unwrap();
        }
        for gone in &plan.prune {
            writeln!(told, "{t:>4}s    prune {gone}").unwrap();
        }
        let told = self.short(&told);
        let line = self.short(&line);
        if line != self.last || !told.is_empty() {
            self.text.push_str(&told);
            if line != self.last {
                writeln!(self.text, "{t:>4}s  {line}").unwrap();
            }
            self.last = line;
        }
    }

    /// Revisions as letters, in the order in which they appear: their hashes change with every field.
    fn short(&mut self, text: &str) -> String {
        let mut out = text.to_owned();
        for d in &self.cluster.observed.revisions {
            let revision = d.metadata.labels.as_ref().unwrap()["drydock.dev/revision"].clone();
            if !self.revisions.contains(&revision) {
                self.revisions.push(revision);
            }
        }
        for (i, revision) in self.revisions.iter().enumerate() {
            let letter = char::from(b'A' + u8::try_from(i).unwrap());
            out = out.replace(revision, &letter.to_string());
        }
        // Jobs are named by a hash too.
        let mut parts = out.split("-opt-");
        let mut plain = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            plain.push_str("-opt-#");
            plain.push_str(part.get(8..).unwrap_or_default());
        }
        plain
    }

    /// Compares with the golden file; `UPDATE_STORIES=1` writes it.
    pub fn check(self, name: &str) {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stories").join(format!("{name}.txt"));
        if std::env::var_os("UPDATE_STORIES").is_some() {
            std::fs::write(&path, &self.text).unwrap();
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(self.text, golden, "story {name}; look at the difference, then UPDATE_STORIES=1");
    }
}
