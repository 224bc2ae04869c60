//! crds/tests/validation.yaml on a real API server.

use anyhow::Result;
use drydock_crds::ModelDeployment;
use drydock_e2e::kubernetes::{MANAGER, changed};
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::{Resource as _, core::ApiResource};

use crate::support::space;

#[path = "../../../crds/tests/table/mod.rs"]
mod table;

#[tokio::test]
async fn the_api_server_says_what_the_table_says() -> Result<()> {
    let space = space("validation").await?;
    let table = table::read();
    let kind = ApiResource::erase::<ModelDeployment>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(space.client.clone(), &space.name, &kind);
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    for case in &table.accept {
        let object = serde_json::from_value(changed(table.base.clone(), &case.change))?;
        if let Err(error) = api.create(&dry, &object).await {
            panic!("{}: refused: {error}", case.name);
        }
    }
    for case in &table.reject {
        let object = serde_json::from_value(changed(table.base.clone(), &case.change))?;
        let error = api.create(&dry, &object).await.err().map(|e| e.to_string());
        let error = error.unwrap_or_else(|| panic!("{}: accepted", case.name));
        assert!(error.contains(&case.message), "{}: {error}", case.name);
    }
    let mut paused = table.base.clone();
    paused["spec"]["suspend"] = true.into();
    api.create(&PostParams::default(), &serde_json::from_value(paused)?).await?;
    for case in &table.reject_update {
        let patch = PatchParams { field_manager: Some(MANAGER.into()), dry_run: true, ..PatchParams::default() };
        let result = api.patch("fashion", &patch, &Patch::Merge(&case.change)).await;
        let error = result.err().map_or_else(|| panic!("{}: accepted", case.name), |e| e.to_string());
        assert!(error.contains(&case.message), "{}: {error}", case.name);
    }
    println!(
        "{} accepted, {} refused, {} of them by the schema alone, {} updates refused",
        table.accept.len(),
        table.reject.len(),
        table.reject.iter().filter(|c| c.by.is_some()).count(),
        table.reject_update.len()
    );
    assert_eq!(ModelDeployment::plural(&()), "modeldeployments");
    space.delete().await
}
