//! What the end-to-end tests, the benchmarks and the demo share: a client of the cluster, a client of the served model, and
//! a constant load.

pub mod fashion;
pub mod install;
pub mod kubernetes;
pub mod load;
pub mod oip;
