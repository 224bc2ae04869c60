//! Blue/green, A/B tests and shadows.

use super::*;

/// All at once, after a look at the preview; and back, to pods that are still there. Anchors, part 2, row 5 (a promotion restarts nothing)
/// and row 14 (a rollback that is in Git, and says which version runs).
#[test]
fn blue_green_and_back() {
    let mut md = fashion();
    md.spec.serving.replicas = Some(2);
    md.spec.rollout.strategy = Strategy::BlueGreen;
    md.spec.rollout.blue_green = Some(BlueGreen { preview_seconds: 10, pause: true });
    md.spec.rollout.scale_down_delay_seconds = 60;
    let mut cluster = Cluster::new(md);
    assert!(cluster.settle(100));
    let mut story = Story::of(cluster);
    let uids = |s: &Story, revision: &str| -> Vec<Option<String>> {
        let is_of =
            |p: &&k8s_openapi::api::core::v1::Pod| p.metadata.labels.iter().flatten().any(|(_, v)| v == revision);
        s.cluster.observed.pods.iter().filter(is_of).map(|p| p.metadata.uid.clone()).collect()
    };
    let old = story.cluster.selected().unwrap();
    let old_pods = uids(&story, &old);
    story.act("image sidecar:2", |c| c.edit(|s| s.serving.image = Some("sidecar:2".into())));
    story.run(25);
    let new = canary_of(&story.cluster);
    let new_pods = uids(&story, &new);
    story.act("control.proceed", |c| c.edit(|s| s.rollout.control.proceed = Some(format!("{new}/0"))));
    story.run(10);
    assert_eq!((story.cluster.selected(), uids(&story, &new)), (Some(new.clone()), new_pods.clone()));
    story
        .act("control.rollBackTo the old revision", |c| c.edit(|s| s.rollout.control.roll_back_to = Some(old.clone())));
    story.run(3);
    assert_eq!(
        (story.cluster.selected(), uids(&story, &old)),
        (Some(old), old_pods),
        "at once, to the pods that were there"
    );
    story.run(5);
    story.act("rollBackTo is taken out", |c| c.edit(|s| s.rollout.control.roll_back_to = None));
    story.run(30);
    assert_ne!(
        story.cluster.selected().as_ref(),
        Some(&new),
        "what was said of the first attempt is not said of this one"
    );
    story.act("control.proceed is taken out", |c| c.edit(|s| s.rollout.control.proceed = None));
    story.run(2);
    story.act("and set again", |c| c.edit(|s| s.rollout.control.proceed = Some(format!("{new}/0"))));
    story.run(10);
    assert_eq!((story.cluster.selected(), uids(&story, &new)), (Some(new), new_pods));
    story.check("blue_green_and_back");
}

/// Nobody would see the preview: it does not begin until the name is free.
#[test]
fn preview_name_is_taken() {
    let mut md = fashion();
    md.spec.rollout.strategy = Strategy::BlueGreen;
    md.spec.rollout.blue_green = Some(BlueGreen { preview_seconds: 10, pause: false });
    let mut cluster = Cluster::new(md);
    assert!(cluster.settle(100));
    let preview = |s: &k8s_openapi::api::core::v1::Service| s.metadata.name.as_deref() == Some("fashion-preview");
    let service = cluster.observed.services.iter_mut().find(|s| preview(s)).unwrap();
    service.metadata.owner_references = None;
    let mut story = Story::of(cluster);
    story.act("image sidecar:2, while fashion-preview is somebody else's", |c| {
        c.edit(|s| s.serving.image = Some("sidecar:2".into()));
    });
    story.run(40);
    story.act("fashion-preview is deleted", |c| c.observed.services.retain(|s| !preview(s)));
    story.run(20);
    story.check("preview_name_is_taken");
}

/// Whoever has the name would get the canary's requests.
#[test]
fn canary_service_is_taken() {
    let mut story = with(Behaviour::default());
    story.run(10);
    let canary = |s: &k8s_openapi::api::core::v1::Service| s.metadata.name.as_deref() == Some("fashion-canary");
    story.act("fashion-canary is somebody else's", |c| {
        c.observed.services.iter_mut().find(|s| canary(s)).unwrap().metadata.owner_references = None;
    });
    story.run(60);
    story.act("fashion-canary is deleted", |c| c.observed.services.retain(|s| !canary(s)));
    story.run(35);
    story.check("canary_service_is_taken");
}

/// Anchors, part 2, row 7: no user sees the canary, and it is compared.
#[test]
fn shadow_only() {
    let mut story = with(Behaviour::default());
    story.act("strategy Shadow", |c| {
        c.edit(|s| {
            s.rollout.strategy = Strategy::Shadow;
            s.rollout.shadow = Some(Shadow { percentage: 40 });
        });
    });
    story.run(30);
    story.act("control.promote", |c| {
        let canary = canary_of(c);
        c.edit(|s| s.rollout.control.promote = Some(canary));
    });
    story.run(10);
    story.check("shadow_only");
}

/// Another strategy is another way: nothing of it is passed already.
#[test]
fn strategy_changed_mid_canary() {
    let mut story = with(Behaviour::default());
    story.run(18);
    story.act("strategy Shadow, at the second step", |c| {
        c.edit(|s| {
            s.rollout.strategy = Strategy::Shadow;
            s.rollout.shadow = Some(Shadow { percentage: 40 });
        });
    });
    story.run(60);
    story.act("strategy Canary", |c| {
        c.edit(|s| {
            s.rollout.strategy = Strategy::Canary;
            s.rollout.shadow = None;
        });
    });
    story.run(35);
    story.check("strategy_changed_mid_canary");
}

#[test]
fn shadow_that_disagrees() {
    let mut story = with(Behaviour { disagreements: 30, ..Behaviour::default() });
    story.act("strategy Shadow", |c| {
        c.edit(|s| {
            s.rollout.strategy = Strategy::Shadow;
            s.rollout.shadow = Some(Shadow { percentage: 40 });
            s.rollout.analysis.min_agreement = Some(95.0);
        });
    });
    story.run(15);
    story.check("shadow_that_disagrees");
}

/// Anchors, part 2, row 13: a user has one model. A person chooses.
#[test]
fn a_b_test() {
    let mut story = with(Behaviour::default());
    story.act("strategy ABTest", |c| {
        c.edit(|s| {
            let vip = RequestMatch { header: Some("x-vip".into()), value: "yes".into(), ..RequestMatch::default() };
            s.rollout.strategy = Strategy::AbTest;
            s.rollout.sticky = Some(RequestKey { cookie: Some("session".into()), ..RequestKey::default() });
            s.rollout.matches = vec![vip];
            s.rollout.ab_test = Some(AbTest { duration_seconds: Some(20), ..AbTest::default() });
        });
    });
    story.run(60);
    story.act("control.abort", |c| {
        let canary = canary_of(c);
        c.edit(|s| s.rollout.control.abort = Some(canary));
    });
    story.run(5);
    story.check("a_b_test");
}

/// By conversions, of 50 users in a second in each arm; then what the spec says of the end.
fn by_conversions(conversions: u64, test: &AbTest) -> Story {
    let mut story = with(Behaviour { conversions, ..Behaviour::default() });
    story.act("strategy ABTest, by conversion", |c| {
        c.edit(|s| {
            s.rollout.strategy = Strategy::AbTest;
            s.rollout.sticky = Some(RequestKey { cookie: Some("session".into()), ..RequestKey::default() });
            s.rollout.analysis.metrics =
                vec![FeedbackMetric { name: "conversion".into(), ..FeedbackMetric::default() }];
            s.rollout.ab_test = Some(AbTest { metric: Some("conversion".into()), ..test.clone() });
        });
    });
    story
}

#[test]
fn a_b_test_that_the_canary_wins() {
    let apply = OnWinner::Apply;
    let mut story = by_conversions(20, &AbTest { sample_size: Some(2000), on_winner: apply, ..AbTest::default() });
    story.run(60);
    let found = story.cluster.status().rollout.unwrap().ab_test.unwrap();
    assert_eq!((found.winner, found.effect, found.ended), (Winner::Canary, Some(0.1), true), "{found:?}");
    assert!(found.lower.unwrap() > 0.0 && found.upper.unwrap() < 0.2, "{found:?}");
    story.check("a_b_test_that_the_canary_wins");
}

#[test]
fn a_b_test_that_the_stable_revision_wins() {
    let apply = OnWinner::Apply;
    let mut story = by_conversions(4, &AbTest { duration_seconds: Some(40), on_winner: apply, ..AbTest::default() });
    story.run(60);
    assert_eq!(story.cluster.status().rollout.unwrap().ab_test.unwrap().winner, Winner::Stable);
    story.check("a_b_test_that_the_stable_revision_wins");
}

#[test]
fn a_b_test_without_a_winner() {
    let keep = OnNoWinner::KeepStable;
    let mut story = by_conversions(10, &AbTest { duration_seconds: Some(20), on_no_winner: keep, ..AbTest::default() });
    story.run(40);
    story.check("a_b_test_without_a_winner");
}

/// The default: a winner is named, and a person has the last word.
#[test]
fn a_b_test_that_waits_for_a_person() {
    let mut story = by_conversions(20, &AbTest { duration_seconds: Some(40), ..AbTest::default() });
    story.run(60);
    story.act("control.proceed", |c| {
        let canary = canary_of(c);
        c.edit(|s| s.rollout.control.proceed = Some(format!("{canary}/0")));
    });
    story.run(5);
    story.check("a_b_test_that_waits_for_a_person");
}

/// Right shape, and wrong answers, that only users see.
#[test]
fn less_often_right() {
    let mut story = with(Behaviour { correct: 70, ..Behaviour::default() });
    story.act("maxAccuracyDrop 5", |c| c.edit(|s| s.rollout.analysis.max_accuracy_drop = Some(5.0)));
    story.run(45);
    story.check("less_often_right");
}
