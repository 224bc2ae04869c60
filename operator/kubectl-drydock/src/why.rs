//! `why`: what was decided, and by which numbers.

use drydock_contract::Technique;
use drydock_crds::{CandidateStatus, Decided, Decision, Metric, MetricOutcome, MetricStatus, ModelDeployment};
use drydock_operator_core::numbers;
use k8s_openapi::api::apps::v1::ControllerRevision;

use crate::revisions::{Revision, revisions};
use crate::tell::{Node, table};

pub fn why(md: &ModelDeployment, recorded: &[ControllerRevision]) -> String {
    let name = md.metadata.name.as_deref().unwrap_or_default();
    let status = md.status.clone().unwrap_or_default();
    let mut under = Vec::new();
    let candidates = status.optimization.map(|o| o.candidates).unwrap_or_default();
    if !candidates.is_empty() {
        under.push(Node::over("candidates", candidates.iter().map(candidate).collect()));
    }
    let analysis = status.rollout.as_ref().and_then(|r| r.analysis.as_ref());
    for revision in revisions(md, recorded) {
        let mut node = of_revision(&revision);
        if let Some(analysis) = analysis.filter(|_| revision.part == "canary") {
            let judged = metrics(&analysis.metrics).into_iter().map(Node::leaf).collect();
            node.under.push(Node::over(format!("{}  as it stands", analysis.at.0), judged));
        }
        under.push(node);
    }
    if under.is_empty() {
        under.push(Node::leaf("nothing has been decided yet"));
    }
    Node::over(format!("{name}  {}", status.message).trim_end(), under).to_string()
}

/// Why it was taken, or not.
fn candidate(c: &CandidateStatus) -> Node {
    let reason = c.reason.as_ref().map(|r| format!("  {r}")).unwrap_or_default();
    let told: Vec<String> =
        [numbers(c), c.message.clone().unwrap_or_default()].into_iter().filter(|t| !t.is_empty()).collect();
    let told = if told.is_empty() { String::new() } else { format!(": {}", told.join("; ")) };
    Node::leaf(format!("{}  {:?}{reason}{told}", c.name, c.state))
}

fn of_revision(revision: &Revision) -> Node {
    let mut under = Vec::new();
    let record = &revision.record;
    if let Some(recipe) = &record.recipe {
        let techniques = recipe.techniques.iter().map(|t| Node::leaf(technique(t))).collect();
        under.push(Node::over(format!("recipe {}", recipe.name), techniques));
    }
    if !record.measured.is_empty() {
        under.push(Node::leaf(format!("measured: {}", record.measured)));
    }
    if !record.gates.is_empty() {
        under.push(Node::over("gates", record.gates.iter().map(|g| Node::leaf(g.to_string())).collect()));
    }
    under.extend(record.decisions.iter().map(decision));
    if under.is_empty() {
        under.push(Node::leaf("nothing is recorded of it"));
    }
    let text = [revision.part, &revision.name, &revision.candidate, &revision.package];
    Node::over(text.into_iter().filter(|t| !t.is_empty()).collect::<Vec<_>>().join("  "), under)
}

/// As the spec has it, with what is left out there, on one line.
fn technique(t: &Technique) -> String {
    serde_json::to_string(t).unwrap_or_default()
}

fn decision(d: &Decision) -> Node {
    let by = d.by.as_ref().map(|by| format!(", by {by}")).unwrap_or_default();
    let why = if d.why.is_empty() { String::new() } else { format!(": {}", d.why) };
    let step = match d.what {
        Decided::StepPassed | Decided::RolledBack | Decided::Superseded => format!(" in step {}", d.step + 1),
        Decided::Deployed | Decided::Started | Decided::Promoted | Decided::Retried => String::new(),
    };
    Node::over(
        format!("{}  {:?}{step}{by}{why}", d.at.0, d.what),
        metrics(&d.metrics).into_iter().map(Node::leaf).collect(),
    )
}

/// One line each: outcome, statistic and threshold, sample size, and what was counted.
pub fn metrics(all: &[MetricStatus]) -> Vec<String> {
    let row = |m: &MetricStatus| {
        let more = match (m.outcome, m.more_needed) {
            (MetricOutcome::NotEnoughEvidence, Some(more)) => format!(", about {more} more needed"),
            (MetricOutcome::NotEnoughEvidence, None) => ", more would not do".to_owned(),
            _ => String::new(),
        };
        let synthetic = m.synthetic.map(|n| format!(" and {n} synthetic")).unwrap_or_default();
        // Of what others say there are no statistics.
        let (evidence, samples) = match m.metric {
            Metric::External => ("bad answers", "answers"),
            _ => ("evidence", "samples"),
        };
        vec![
            format!("{:?}", m.metric),
            format!("{:?}", m.outcome),
            format!("{evidence} {} of {}", digits(m.statistic), digits(m.threshold)),
            format!("{} {samples}{synthetic}{more}", m.samples),
            m.message.clone(),
        ]
    };
    table(&all.iter().map(row).collect::<Vec<_>>())
}

/// Three of them: the rest says nothing.
fn digits(x: f64) -> String {
    let places = match x.abs() {
        100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        _ => 3,
    };
    format!("{x:.places$}")
}

#[cfg(test)]
mod tests;
