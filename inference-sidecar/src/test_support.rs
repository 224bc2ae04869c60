use std::sync::Arc;

use crate::metrics::Metrics;

pub(crate) fn metrics() -> Arc<Metrics> {
    Arc::new(Metrics::new())
}
