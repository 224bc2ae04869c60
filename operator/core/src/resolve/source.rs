use drydock_contract::{Digest, Input, Location};
use drydock_crds::Source;

use super::SpecErrors;
use crate::resolved::Mount;

/// What the optimizer reads, and what must be mounted at `/sources/<name>` for it.
pub fn input(errors: &mut SpecErrors, field: &str, name: &str, source: &Source) -> (Input, Option<Mount>) {
    let sha256 = source.sha256.as_deref().and_then(|text| match text.parse::<Digest>() {
        Ok(digest) => Some(digest),
        Err(error) => {
            errors.add(format!("{field}.sha256"), error.to_string());
            None
        }
    });
    let (location, mount) = match (&source.https, &source.pvc, &source.oci) {
        (Some(https), None, None) => {
            if !(https.url.starts_with("https://") || https.url.starts_with("http://") && source.sha256.is_some()) {
                errors.add(
                    format!("{field}.https.url"),
                    format!("found {:?}; expected https://, or http:// with sha256 beside it", https.url),
                );
            }
            (Location::Url(https.url.clone()), None)
        }
        (None, Some(pvc), None) => {
            (path(errors, format!("{field}.pvc.path"), name, &pvc.path), Some(Mount::Claim(pvc.claim_name.clone())))
        }
        (None, None, Some(oci)) => {
            (path(errors, format!("{field}.oci.path"), name, &oci.path), Some(Mount::Image(oci.image.clone())))
        }
        _ => {
            errors.add(field, "set exactly one of https, pvc and oci");
            (Location::Path(String::new()), None)
        }
    };
    (Input { location, sha256 }, mount)
}

fn path(errors: &mut SpecErrors, field: String, name: &str, path: &str) -> Location {
    if path.is_empty() || path.starts_with('/') || path.split('/').any(|part| part == "..") {
        errors.add(field, format!("found {path:?}; expected a path without a leading '/' and without '..'"));
    }
    Location::Path(format!("/sources/{name}/{path}"))
}
