use std::slice::from_ref;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::*;

fn parent(name: &str) -> ParentReference {
    ParentReference {
        group: GROUP.into(),
        kind: "Gateway".into(),
        name: name.into(),
        namespace: Some("infra".into()),
        ..ParentReference::default()
    }
}

fn said(parent_ref: ParentReference, conditions: &[(&str, &str, &str, i64)]) -> RouteParentStatus {
    let condition = |(type_, status, reason, generation): &(&str, &str, &str, i64)| Condition {
        type_: (*type_).into(),
        status: (*status).into(),
        reason: (*reason).into(),
        message: String::new(),
        observed_generation: Some(*generation),
        last_transition_time: Time(Timestamp::UNIX_EPOCH),
    };
    RouteParentStatus { parent_ref, conditions: conditions.iter().map(condition).collect() }
}

fn pending(parents: &[ParentReference], all: Vec<RouteParentStatus>) -> Option<String> {
    let metadata = ObjectMeta {
        name: Some("m".into()),
        namespace: Some("shop".into()),
        generation: Some(3),
        ..ObjectMeta::default()
    };
    let spec = RouteSpec { parent_refs: parents.to_vec(), ..RouteSpec::default() };
    let route = HttpRoute { status: Some(RouteStatus { parents: all }), ..Route::new(metadata, spec) };
    RouteView::from(&route).pending()
}

const GOOD: [(&str, &str, &str, i64); 2] =
    [("Accepted", "True", "Accepted", 3), ("ResolvedRefs", "True", "ResolvedRefs", 3)];

#[test]
fn every_parent_has_to_accept_just_this_generation() {
    let (a, b) = (parent("a"), parent("b"));
    assert_eq!(pending(from_ref(&a), vec![said(a.clone(), &GOOD)]), None);
    assert_eq!(pending(&[a.clone(), b.clone()], vec![said(a.clone(), &GOOD), said(b.clone(), &GOOD)]), None);
    for (parents, all, expected) in [
        (vec![a.clone()], vec![], "Gateway infra/a says nothing of HTTPRoute m"),
        (vec![a.clone(), b.clone()], vec![said(a.clone(), &GOOD)], "Gateway infra/b says nothing of HTTPRoute m"),
        (
            vec![a.clone()],
            vec![said(a.clone(), &[("Accepted", "False", "NotAllowedByListeners", 3), GOOD[1]])],
            "Gateway infra/a says of HTTPRoute m Accepted=False, NotAllowedByListeners",
        ),
        (
            vec![a.clone()],
            vec![said(a.clone(), &[GOOD[0], ("ResolvedRefs", "False", "BackendNotFound", 3)])],
            "Gateway infra/a says of HTTPRoute m ResolvedRefs=False, BackendNotFound",
        ),
        (
            vec![a.clone()],
            vec![said(a.clone(), &[("Accepted", "True", "Accepted", 2), GOOD[1]])],
            "Gateway infra/a has not looked at the last change of HTTPRoute m",
        ),
        (
            vec![a.clone()],
            vec![said(a.clone(), &GOOD[..1])],
            "Gateway infra/a does not say ResolvedRefs of HTTPRoute m",
        ),
        // One controller has, another one that speaks for the same parent has not.
        (
            vec![a.clone()],
            vec![said(a.clone(), &GOOD), said(a.clone(), &GOOD[..1])],
            "Gateway infra/a does not say ResolvedRefs of HTTPRoute m",
        ),
    ] {
        let found = pending(&parents, all).unwrap_or_default();
        assert!(found.starts_with(expected), "{found}");
    }
}

#[test]
fn a_parent_is_the_same_however_much_of_it_is_said() {
    let full = ParentReference { namespace: Some("shop".into()), ..parent("a") };
    let short = ParentReference { name: "a".into(), ..ParentReference::default() };
    assert_eq!(pending(from_ref(&full), vec![said(short.clone(), &GOOD)]), None);
    for other in [
        ParentReference { section_name: Some("http".into()), ..short.clone() },
        ParentReference { namespace: Some("infra".into()), ..short.clone() },
        ParentReference { kind: "Service".into(), ..short.clone() },
        ParentReference { port: Some(80), ..short },
    ] {
        assert!(pending(from_ref(&full), vec![said(other.clone(), &GOOD)]).is_some(), "{other:?}");
    }
}
