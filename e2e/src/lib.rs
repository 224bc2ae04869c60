//! What the end-to-end tests, the benchmarks and the demo share: a client of the cluster, clients of the served model, and a
//! constant load.

pub mod fashion;
pub mod forward;
pub mod grpc;
pub mod install;
pub mod kubernetes;
pub mod load;
pub mod load_pod;
pub mod oip;
