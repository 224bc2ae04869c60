use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use drydock_contract::Digest;

use super::{FetchError, Fetched, Purpose, copy, keep, unreachable};
use crate::onnx;

const PURPOSE: Purpose = Purpose::Model;

pub(super) fn copy_file(path: &Path, scratch: &Path) -> Result<Fetched, FetchError> {
    let name = path.display().to_string();
    let file = File::open(path).map_err(|e| unreachable(PURPOSE, &name, &e))?;
    let file_name = path.file_name().unwrap_or("model.onnx".as_ref()).to_string_lossy();
    keep(BufReader::new(file), &name, &file_name, PURPOSE, scratch)
}

/// Copies the files that hold weights from `directory`, where the model came from, to beside its copy.
///
/// The digest of it all: the model's own if there are none.
pub(super) fn copy_external(model: &Fetched, directory: Option<&Path>, verified: bool) -> Result<Digest, FetchError> {
    // What is no model is found out, and told, by who reads it next.
    let locations = onnx::external_files(&model.path).unwrap_or_default();
    if locations.is_empty() {
        return Ok(model.digest.clone());
    }
    if verified {
        return Err(FetchError::Uncovered { files: locations.into_iter().collect::<Vec<_>>().join(", ") });
    }
    let own_name = model.path.file_name().unwrap_or_default().to_string_lossy();
    let mut listing = vec![format!("{}  {own_name}", model.digest.hex())];
    for location in &locations {
        let fail = |problem: String| FetchError::External { location: location.clone(), problem };
        let directory = directory.ok_or_else(|| fail("a URL names one file only; save the model as one".into()))?;
        let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        let from = onnx::open_external(directory, location).map_err(fail)?;
        let to = model.path.with_file_name(location);
        // A second name of one that is there, or of the model's own.
        if to.exists() {
            continue;
        }
        let create = || {
            std::fs::create_dir_all(to.parent().unwrap_or(Path::new("")))?;
            File::create_new(&to)
        };
        let mut file = create().map_err(|source| FetchError::Scratch { path: to.clone(), source })?;
        let digest = copy(BufReader::new(from), &mut file, location, PURPOSE, &to)?;
        listing.push(format!("{}  {location}", digest.hex()));
    }
    Ok(Digest::of((listing.join("\n") + "\n").as_bytes()))
}
