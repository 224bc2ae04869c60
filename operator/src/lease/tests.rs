use super::*;

fn lease(holder: Option<&str>, seconds: Option<i32>) -> LeaseSpec {
    LeaseSpec { holder_identity: holder.map(Into::into), lease_duration_seconds: seconds, ..LeaseSpec::default() }
}

#[test]
fn who_may_take_a_lease_and_when() {
    let s = Duration::from_secs;
    for (what, lease, unchanged, decision) in [
        ("there is none", None, s(0), Decision::Create),
        ("released", Some(lease(None, Some(15))), s(0), Decision::Take),
        ("released, as others write it", Some(lease(Some(""), Some(15))), s(0), Decision::Take),
        ("ours", Some(lease(Some("me"), Some(15))), s(0), Decision::Renew),
        ("ours, and long past: nobody took it", Some(lease(Some("me"), Some(15))), s(100), Decision::Renew),
        ("another's, just seen", Some(lease(Some("you"), Some(15))), s(0), Decision::Wait),
        ("another's, almost past", Some(lease(Some("you"), Some(15))), Duration::from_millis(14_999), Decision::Wait),
        ("another's, past", Some(lease(Some("you"), Some(15))), s(15), Decision::Take),
        ("another's, longer than ours", Some(lease(Some("you"), Some(60))), s(59), Decision::Wait),
        ("another's, without a duration", Some(lease(Some("you"), None)), s(14), Decision::Wait),
        ("another's, without a duration, past", Some(lease(Some("you"), None)), s(15), Decision::Take),
        ("another's, nonsense as duration", Some(lease(Some("you"), Some(-1))), s(14), Decision::Wait),
    ] {
        assert_eq!(decide(lease.as_ref(), "me", unchanged), decision, "{what}");
    }
}

#[test]
fn a_leader_stops_before_another_may_start() {
    assert!(RENEW_EVERY + ANSWER_WITHIN < DEADLINE, "one renewal may fail");
    assert!(DEADLINE + ANSWER_WITHIN < DURATION, "and what it sent last has arrived by then");
}

#[test]
fn a_renewal_keeps_since_when_and_a_takeover_counts() {
    let (t1, t2) = (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH + Duration::from_secs(5));
    let first = held(None, "me", t1);
    assert_eq!((first.lease_transitions, first.acquire_time.clone()), (Some(0), Some(MicroTime(t1))));
    let renewed = held(Some(&first), "me", t2);
    assert_eq!((renewed.lease_transitions, renewed.acquire_time.clone()), (Some(0), Some(MicroTime(t1))));
    assert_eq!(renewed.renew_time, Some(MicroTime(t2)));
    let taken = held(Some(&renewed), "you", t2);
    assert_eq!((taken.lease_transitions, taken.acquire_time), (Some(1), Some(MicroTime(t2))));
}

mod against_an_api_server {
    use std::sync::Mutex;

    use serde_json::{Value, json};

    use super::*;
    use crate::fixtures::{Asked, Log, client, refusal, writes};

    const PATH: &str = "/apis/coordination.k8s.io/v1/namespaces/ns/leases/drydock";

    /// A Lease that keeps its resourceVersion as the API server does.
    #[derive(Default)]
    struct Server {
        lease: Option<Value>,
        version: u32,
        down: bool,
    }

    impl Server {
        fn answer(&mut self, asked: &Asked) -> (u16, Value) {
            if self.down {
                return refusal(500, "InternalError", "down");
            }
            match asked.method.as_str() {
                "GET" => self.lease.clone().map_or_else(crate::fixtures::not_found, |l| (200, l)),
                "POST" if self.lease.is_some() => refusal(409, "AlreadyExists", "there is one"),
                "PUT" if asked.body["metadata"]["resourceVersion"].as_str() != Some(&self.version.to_string()) => {
                    refusal(409, "Conflict", "it has changed")
                }
                _ => (200, self.set(asked.body.clone())),
            }
        }

        fn set(&mut self, mut lease: Value) -> Value {
            self.version += 1;
            lease["metadata"]["resourceVersion"] = self.version.to_string().into();
            self.lease = Some(lease.clone());
            lease
        }

        fn holder(&self) -> Option<String> {
            Some(self.lease.as_ref()?["spec"]["holderIdentity"].as_str()?.to_owned())
        }
    }

    fn held_by(holder: &str) -> Value {
        json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": { "name": "drydock" },
            "spec": { "holderIdentity": holder, "leaseDurationSeconds": 15 },
        })
    }

    fn election(me: &str, server: &Arc<Mutex<Server>>) -> (Election, Arc<Claim>, Log) {
        let server = server.clone();
        let (client, log) = client(move |asked| server.lock().unwrap().answer(asked));
        let claim = Arc::new(Claim::not_held());
        (Election::new(client, "ns", "drydock", me, claim.clone(), Metrics::new()), claim, log)
    }

    #[tokio::test(start_paused = true)]
    async fn creates_renews_and_releases() {
        let server = Arc::new(Mutex::new(Server::default()));
        let (mut me, claim, log) = election("me", &server);
        me.win().await;
        assert!(claim.is_held());
        let _ = timeout(Duration::from_mins(1), me.keep()).await.unwrap_err();
        assert!(claim.is_held(), "renewed for a minute");
        let writes = writes(&log);
        assert!(writes[0].starts_with("POST"), "{writes:?}");
        assert!(writes[1..].iter().all(|w| *w == format!("PUT {PATH}")) && writes.len() >= 11, "{writes:?}");
        me.release().await;
        assert!(!claim.is_held());
        assert_eq!(server.lock().unwrap().holder(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_standby_waits_out_a_dead_leader_and_takes_a_released_lease_at_once() {
        let server = Arc::new(Mutex::new(Server::default()));
        server.lock().unwrap().set(held_by("dead"));
        let (mut me, claim, _) = election("me", &server);
        let began = Instant::now();
        me.win().await;
        assert!((15..18).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
        assert!(claim.is_held());

        let (mut you, your_claim, _) = election("you", &server);
        let _ = timeout(Duration::from_secs(5), you.win()).await.unwrap_err();
        assert!(!your_claim.is_held(), "there is a leader");
        me.release().await;
        let began = Instant::now();
        you.win().await;
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        assert!(your_claim.is_held() && !claim.is_held());
        assert_eq!(server.lock().unwrap().lease.as_ref().unwrap()["spec"]["leaseTransitions"], 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_that_is_cut_off_stops_before_another_may_start() {
        let server = Arc::new(Mutex::new(Server::default()));
        let (mut me, claim, _) = election("me", &server);
        me.win().await;
        server.lock().unwrap().down = true;
        let began = Instant::now();
        me.keep().await;
        assert!(!claim.is_held());
        assert!((9..=13).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_outage_does_not_cost_the_lease() {
        let server = Arc::new(Mutex::new(Server::default()));
        let (mut me, claim, _) = election("me", &server);
        me.win().await;
        let outage = async {
            sleep(Duration::from_secs(4)).await;
            server.lock().unwrap().down = true;
            sleep(Duration::from_secs(3)).await;
            server.lock().unwrap().down = false;
            sleep(Duration::from_secs(20)).await;
        };
        tokio::select! { () = me.keep() => panic!("lost"), () = outage => {} }
        assert!(claim.is_held());
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_another_took_is_lost_at_once() {
        let server = Arc::new(Mutex::new(Server::default()));
        let (mut me, claim, _) = election("me", &server);
        me.win().await;
        server.lock().unwrap().set(held_by("you"));
        me.keep().await;
        assert!(!claim.is_held());
        me.release().await;
        assert_eq!(server.lock().unwrap().holder().as_deref(), Some("you"), "another's Lease is not released");
    }
}
