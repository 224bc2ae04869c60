use std::fmt;

use drydock_crds::ModelDeployment;

use crate::{Defaults, Resolved};

/// Everything that is wrong with a spec, not only the first thing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct SpecErrors(pub Vec<SpecError>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecError {
    /// `spec.serving.podTemplate.spec.containers`.
    pub field: String,
    pub message: String,
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

impl fmt::Display for SpecErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("; ")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

pub fn resolve(md: &ModelDeployment, defaults: &Defaults) -> Result<Resolved, SpecErrors> {
    let _ = defaults;
    Ok(Resolved {
        name: md.metadata.name.clone().unwrap_or_default(),
        namespace: md.metadata.namespace.clone().unwrap_or_default(),
    })
}
