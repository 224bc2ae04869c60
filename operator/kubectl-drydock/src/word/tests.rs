use super::*;
use crate::revisions::revisions;
use crate::samples::{model_deployment, recorded, revision};
use k8s_openapi::api::apps::v1::ControllerRevision;

const GOOD: &str = "sha256:aa11";
const BAD: &str = "sha256:bb22";
const OTHER: &str = "sha256:ee33";

fn known(md: &ModelDeployment) -> Vec<Revision> {
    let rolled_back =
        json!({ "decisions": [{ "at": "2026-01-01T00:00:00Z", "what": "RolledBack", "step": 0, "window": "w" }] });
    let records = [
        recorded("aaaa", 1, GOOD, &json!({ "decisions": [] })),
        recorded("abcd", 2, GOOD, &json!({ "decisions": [] })),
        recorded("bbbb", 3, BAD, &rolled_back),
        recorded("eeee", 4, OTHER, &json!({ "decisions": [] })),
        // Another object's, of the same name in its label.
        json!({ "metadata": { "name": "x", "labels": { "drydock.dev/revision": "ffff" } }, "data": {}, "revision": 9 }),
    ];
    let records: Vec<ControllerRevision> = records.into_iter().map(|r| serde_json::from_value(r).unwrap()).collect();
    revisions(md, &records)
}

fn said(said: &Said, rollout: &Value, control: &Value) -> Result<Word, Refusal> {
    let mut rollout = rollout.clone();
    rollout["stable"] = revision("aaaa");
    let steps = json!([{ "weight": 10, "pause": true }, { "weight": 50 }]);
    let md = model_deployment(&json!({
        "spec": { "rollout": { "steps": steps, "control": control } },
        "status": { "rollout": rollout },
    }));
    word(said, &md, &known(&md), Some("jane"))
}

fn canary() -> Value {
    json!({ "canary": revision("cccc"), "stage": "Holding", "step": 0 })
}

fn failed(revision: &str) -> Value {
    let at = "2026-01-01T00:00:00Z";
    json!({ "failed": { "revision": revision, "candidate": "int8", "reason": "ErrorRate", "message": "", "at": at }, "retried": "dddd@4" })
}

#[test]
fn each_word_names_its_revision_and_who_said_it() {
    let promote = Said::Promote { revision: None };
    let proceed = Said::Proceed { step: None };
    let abort = Said::Abort { revision: None };
    let retry = Said::Retry { revision: None };
    let back = |to: &str| Said::RollBack { to: to.into() };
    let cases = [
        (promote.clone(), canary(), json!({}), json!({ "promote": "cccc", "by": { "promote": "jane" } })),
        (
            promote,
            canary(),
            json!({ "abort": "cccc" }),
            json!({ "promote": "cccc", "abort": null, "by": { "promote": "jane", "abort": null } }),
        ),
        (proceed, canary(), json!({ "abort": "x" }), json!({ "proceed": "cccc/0", "by": { "proceed": "jane" } })),
        (
            abort,
            canary(),
            json!({ "promote": "cccc", "proceed": "cccc/0", "retry": "c@1" }),
            json!({ "abort": "cccc", "promote": null, "proceed": null, "by": { "abort": "jane", "promote": null, "proceed": null } }),
        ),
        (
            Said::Abort { revision: Some("abcd".into()) },
            json!({}),
            json!({}),
            json!({ "abort": "abcd", "by": { "abort": "jane" } }),
        ),
        (retry, failed("bbbb"), json!({ "retry": "bbbb@2" }), json!({ "retry": "bbbb@5", "by": { "retry": "jane" } })),
        (Said::Pause, json!({}), json!({}), json!({ "paused": true, "by": { "paused": "jane" } })),
        (Said::Resume, json!({}), json!({ "paused": true }), json!({ "paused": false, "by": { "paused": "jane" } })),
        (back("abcd"), json!({}), json!({}), json!({ "rollBackTo": "abcd", "by": { "rollBackTo": "jane" } })),
        (back("ab"), json!({}), json!({}), json!({ "rollBackTo": "abcd", "by": { "rollBackTo": "jane" } })),
        (back("bbbb"), json!({}), json!({}), json!({ "rollBackTo": "bbbb", "by": { "rollBackTo": "jane" } })),
        // It was rolled back, or is aborted, and is to be served all the same.
        (
            back("bbbb"),
            failed("bbbb"),
            json!({ "abort": "bbbb" }),
            json!({ "rollBackTo": "bbbb", "retry": "bbbb@5", "abort": null,
                    "by": { "rollBackTo": "jane", "retry": "jane", "abort": null } }),
        ),
        (back("sha256:aa"), json!({}), json!({}), json!({ "rollBackTo": GOOD, "by": { "rollBackTo": "jane" } })),
        // Of a package, what stands in the way of the revision that is served then, and of no other.
        (
            back("sha256:ee"),
            failed("eeee"),
            json!({ "abort": "eeee" }),
            json!({ "rollBackTo": OTHER, "retry": "eeee@5", "abort": null,
                    "by": { "rollBackTo": "jane", "retry": "jane", "abort": null } }),
        ),
        (
            back("sha256:aa"),
            failed("bbbb"),
            json!({ "abort": "abcd" }),
            json!({ "rollBackTo": GOOD, "by": { "rollBackTo": "jane" } }),
        ),
        (
            Said::EndRollBack,
            json!({}),
            json!({ "rollBackTo": "abcd" }),
            json!({ "rollBackTo": null, "by": { "rollBackTo": null } }),
        ),
    ];
    for (what, rollout, control, expected) in cases {
        let word = said(&what, &rollout, &control).unwrap_or_else(|e| panic!("{what:?}: {e}"));
        assert_eq!((word.control, word.spent), (expected, None), "{what:?}");
    }
}

#[test]
fn a_word_that_would_do_nothing_is_refused_with_what_there_is() {
    let of = |revision: &str| Some(revision.to_owned());
    let back = |to: &str| Said::RollBack { to: to.into() };
    let cases = [
        (Said::Promote { revision: None }, json!({}), "there is no canary"),
        (Said::Promote { revision: of("dead") }, canary(), "dead is no revision of this ModelDeployment"),
        (Said::Promote { revision: of("ffff") }, canary(), "ffff is no revision of this ModelDeployment"),
        (Said::Promote { revision: of("aaaa") }, canary(), "aaaa is not the canary"),
        (Said::Abort { revision: None }, json!({}), "there is no canary"),
        (Said::Proceed { step: Some(1) }, canary(), "step 2 does not wait for anybody"),
        (Said::Proceed { step: Some(2) }, canary(), "no step 3: it has 2"),
        (Said::Retry { revision: None }, canary(), "no revision is rolled back"),
        (Said::Retry { revision: of("aaaa") }, failed("bbbb"), "that is bbbb"),
        (Said::Resume, json!({}), "control.paused is not set"),
        (Said::EndRollBack, json!({}), "control.rollBackTo is not set"),
        (back("a"), json!({}), "a is the beginning of several"),
        (back("ffff"), json!({}), "ffff is no revision"),
        (back(""), json!({}), "is no revision"),
        (back("sha256:cc"), json!({}), "sha256:cc is no revision"),
        (back(BAD), json!({}), "all revisions of sha256:bb22 were rolled back"),
    ];
    for (what, rollout, expected) in cases {
        let refusal = said(&what, &rollout, &json!({})).unwrap_err().to_string();
        assert!(refusal.contains(expected), "{what:?}: {refusal}");
        let lists = !matches!(what, Said::Proceed { .. } | Said::Retry { .. } | Said::Resume | Said::EndRollBack);
        assert_eq!(refusal.contains("\n  abcd  recorded  int8  sha256:aa11"), lists, "{refusal}");
    }
}

#[test]
fn a_word_of_an_earlier_attempt_is_taken_out_first() {
    let mut rollout = canary();
    rollout["promoted"] = "cccc".into();
    let word = said(&Said::Promote { revision: None }, &rollout, &json!({ "promote": "cccc" })).unwrap();
    assert_eq!((word.spent, taking_out(&word)), (Some("promoted"), json!({ "promote": null })));
    rollout["proceeded"] = "cccc/0".into();
    let word = said(&Said::Proceed { step: None }, &rollout, &json!({})).unwrap();
    assert_eq!((word.spent, taking_out(&word)), (Some("proceeded"), json!({ "proceed": null })));
}

#[test]
fn a_pause_comes_before_what_else_is_said() {
    let paused = json!({ "paused": true });
    let word = said(&Said::Promote { revision: None }, &canary(), &paused).unwrap();
    assert!(word.but.unwrap().contains("resume"));
    assert_eq!(said(&Said::Abort { revision: None }, &canary(), &paused).unwrap().but, None);
}

#[test]
fn a_name_as_long_as_the_schema_takes() {
    let mut word = Word::of("pause", "paused", json!(true));
    word.sign(Some(&"é".repeat(400)));
    assert_eq!(word.control["by"]["paused"].as_str().unwrap().len(), 320);
}
