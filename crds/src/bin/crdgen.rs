//! Writes the CRD's manifest into each directory that is named: `crdgen crds/yaml charts/drydock/crds`.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let yaml = drydock_crds::crd_yaml()?;
    for dir in std::env::args_os().skip(1).map(PathBuf::from) {
        std::fs::create_dir_all(&dir)?;
        std::fs::write(dir.join(drydock_crds::CRD_FILE), &yaml)?;
    }
    Ok(())
}
