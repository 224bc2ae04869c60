//! The chart, installed the way a user does it.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use tokio::process::Command;

/// Where the operator lives.
pub const NAMESPACE: &str = "drydock-system";
pub const RELEASE: &str = "drydock";

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Installs or upgrades the release with the images of this clone, and waits until both replicas are ready.
pub async fn operator() -> Result<()> {
    let chart = root().join("charts/drydock");
    let values = root().join("e2e/values.yaml");
    // Helm installs a CRD once and never again: an upgrade is by hand, as the README says.
    let crds = chart.join("crds");
    kubectl(&["apply", "--server-side", "--force-conflicts", "-f", &crds.to_string_lossy()]).await?;
    let chart = chart.to_string_lossy();
    let values = values.to_string_lossy();
    // Pods of an earlier build are replaced: the tag stays the same, and so would they.
    let images = format!("podAnnotations.images={}", std::env::var("DRYDOCK_IMAGES").unwrap_or_default());
    let place = ["upgrade", "--install", RELEASE, &chart, "--namespace", NAMESPACE, "--create-namespace"];
    let how = ["--values", &values, "--set-string", &images, "--wait", "--timeout", "3m"];
    helm(&[&place[..], &how[..]].concat()).await?;
    Ok(())
}

pub async fn helm(arguments: &[&str]) -> Result<String> {
    command("helm", arguments).await
}

pub async fn kubectl(arguments: &[&str]) -> Result<String> {
    command("kubectl", arguments).await
}

/// Standard output of a program; its standard error in the error when it fails.
pub async fn command(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .await
        .with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        bail!(
            "{program} {}: {}\n{}{}",
            arguments.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
