//! Every file of `examples/` is applied as it stands.

use anyhow::Result;
use drydock_e2e::install::root;
use drydock_e2e::kubernetes::{example, is_ready};

use crate::support::{OPTIMIZED, space};

/// The quick start's three versions have a test of their own (quickstart.rs).
const ELSEWHERE: [&str; 3] = ["quickstart.yaml", "quickstart-v2.yaml", "quickstart-v3-bad.yaml"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_is_served() -> Result<()> {
    let space = space("examples").await?;
    let mut files: Vec<String> = std::fs::read_dir(root().join("examples"))?
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .filter(|name| std::path::Path::new(name).extension().is_some_and(|e| e == "yaml"))
        .collect();
    files.sort();
    for file in ELSEWHERE {
        assert!(files.contains(&file.to_owned()), "{file} is gone");
    }
    let rest: Vec<&String> = files.iter().filter(|f| !ELSEWHERE.contains(&f.as_str())).collect();
    assert!(!rest.is_empty());
    for file in rest {
        let name = example(file)?["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        space.apply_example(file).await?;
        let object = space.until(&name, OPTIMIZED, &format!("{file} to be served"), is_ready).await?;
        println!("{file}: {}", object.status.map(|s| s.message).unwrap_or_default());
    }
    space.delete().await
}
