use drydock_contract::PackageManifest;
use drydock_preprocessing::Images;

/// A `package.json`.
pub fn package(data: &[u8]) -> bool {
    let Ok(manifest) = serde_json::from_slice::<PackageManifest>(data) else { return false };
    let written = serde_json::to_vec(&manifest).expect("plain data");
    let again: PackageManifest = serde_json::from_slice(&written).expect("what was written is read");
    assert_eq!(again.content.digest(), manifest.content.digest(), "the digest of the same content");
    for input in &manifest.content.inputs {
        let _ = Images::new(&manifest.content.preprocessing, input.shape.get(1..).unwrap_or_default());
    }
    true
}
