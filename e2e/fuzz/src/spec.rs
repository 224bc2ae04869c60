use drydock_crds::{ModelDeployment, ModelDeploymentSpec};
use drydock_operator_core::{Applied, Defaults, Memory, Observed, guard, invalid_status, keep, plan, resolve, status};
use jiff::Timestamp;

/// A spec as JSON, through everything that the first pass does with it.
pub fn spec(data: &[u8]) -> bool {
    let Ok(spec) = serde_json::from_slice::<ModelDeploymentSpec>(data) else { return false };
    let mut md = ModelDeployment::new("fuzz", spec);
    md.metadata.namespace = Some("default".into());
    md.metadata.uid = Some("uid".into());
    let (defaults, observed, memory) = (Defaults::default(), Observed::default(), Memory::default());
    let now = Timestamp::UNIX_EPOCH;
    match resolve(&md, &defaults) {
        Ok(resolved) => {
            let first = plan(&resolved, &observed, &memory, now);
            assert!(!first.writes.is_empty(), "there is a volume and a Job to make");
            assert_eq!(first, plan(&resolved, &observed, &memory, now), "equal inputs give equal plans");
            status(None, 1, &resolved, &first, &Applied::default(), now);
        }
        Err(errors) => {
            assert!(!errors.0.is_empty() && errors.0.iter().all(|e| !e.field.is_empty() && !e.message.is_empty()));
            let kept = keep(&md.metadata, Some(&md.spec), &defaults);
            let guarded = guard(&kept, &observed, &memory, now);
            invalid_status(None, 1, &errors, &guarded, &Applied::default(), now);
        }
    }
    true
}
