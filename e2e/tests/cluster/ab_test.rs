//! An A/B test with users who have a favourite: it ends by itself, with the winner, the effect and its interval in status.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use drydock_crds::Winner;
use drydock_e2e::fashion;
use drydock_e2e::forward::Forward;
use drydock_e2e::kubernetes::{Space, is_ready};
use drydock_e2e::oip;
use serde_json::{Value, json};

use crate::support::{ROLLED_OUT, canary_revision, model, served, space, stable_revision};

/// Users at one time.
const AT_ONCE: usize = 8;
/// Of a hundred users of each arm.
const OF_THE_CANARY: usize = 30;
const OF_THE_STABLE: usize = 10;

fn a_b(label: &str) -> Value {
    json!({"spec": {
        "serving": {"podTemplate": {"labels": {"try": label}}},
        "rollout": {
            "strategy": "ABTest",
            "sticky": {"cookie": "session"},
            "abTest": {"sampleSize": 800, "metric": "conversion", "onWinner": "Apply", "onNoWinner": "KeepStable"},
            "analysis": {"metrics": [{"name": "conversion"}]},
        },
    }})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_arm_that_users_like_better_wins() -> Result<()> {
    let space = space("ab-test").await?;
    served(&space, &a_b("one")).await?;
    space.apply(model(&a_b("two"))?).await?;
    let both = space
        .until("model", ROLLED_OUT, "two arms", |m| m.status.as_ref().is_some_and(|s| s.canary_weight == "50%"))
        .await?;
    let canary = canary_revision(&both);
    let after = tokio::select! {
        after = space.until("model", ROLLED_OUT, "a winner", |m| is_ready(m) && stable_revision(m) == canary) => after?,
        gone = users(&space, &canary) => bail!("the users have gone: {gone:?}"),
    };
    let found = after.status.and_then(|s| s.rollout).and_then(|r| r.ab_test).context("status.rollout.abTest")?;
    println!("A/B test: {}", found.message);
    assert_eq!((found.winner, found.ended, &found.revision), (Winner::Canary, true, &canary), "{found:?}");
    assert!(found.canary_samples >= 800 && found.stable_samples >= 800, "{found:?}");
    let planted = (OF_THE_CANARY - OF_THE_STABLE) as f64 / 100.0;
    assert!(found.lower.is_some_and(|l| l > 0.0 && l <= planted), "{found:?}");
    assert!(found.upper.is_some_and(|u| u >= planted), "{found:?}");
    space.delete().await
}

/// Each asks once, with a cookie of their own, and says what came of it; without end.
async fn users(space: &Space, canary: &str) -> Result<()> {
    let forward = Forward::to(space, "model").await?;
    let (http, image) = (oip::client().build()?, fashion::evaluation(1)?[0].tensor());
    let at_once = (0..AT_ONCE).map(|first| {
        let (http, base, image) = (&http, &forward.http, &image);
        async move {
            for user in (first..).step_by(AT_ONCE) {
                let revision = ask(http, base, image, user).await?;
                let likes = if revision == canary { OF_THE_CANARY } else { OF_THE_STABLE };
                // A number of its own for each hundred of users, in no order.
                let conversion = u8::from(user * 37 % 100 < likes);
                let said = json!({"revision": revision, "id": user.to_string(), "metrics": {"conversion": conversion}});
                let told = http.post(format!("{base}/v2/models/model/feedback")).json(&said).send().await?;
                // The test may have ended meanwhile: then nobody asks.
                ensure!(told.status().is_success() || told.status() == 404, "{}", told.text().await?);
            }
            anyhow::Ok(())
        }
    });
    futures::future::try_join_all(at_once).await.map(drop)
}

async fn ask(http: &reqwest::Client, base: &str, image: &[u8], user: usize) -> Result<String> {
    let (body, length) = oip::binary_request(image);
    let response = http
        .post(format!("{base}/v2/models/model/infer"))
        .header("cookie", format!("session=user-{user}"))
        .header("inference-header-content-length", length)
        .body(body)
        .timeout(Duration::from_secs(10))
        .send()
        .await?
        .error_for_status()?;
    Ok(response.headers().get("drydock-revision").context("no revision")?.to_str()?.to_owned())
}
