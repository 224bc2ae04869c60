//! Writes everything that is generated from the types: `crdgen .`, with the root of the repository.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: crdgen ROOT")?);
    for (file, content) in drydock_crds::generated()? {
        let path = root.join(file);
        std::fs::create_dir_all(path.parent().unwrap_or(&root))?;
        std::fs::write(path, content)?;
    }
    Ok(())
}
