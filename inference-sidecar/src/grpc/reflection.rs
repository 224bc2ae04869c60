use tonic::service::Routes;
use tonic_reflection::server::{Builder, Error};

use super::gate::QUESTION_BYTES;

const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/inference.bin"));

/// Adds what tells clients such as grpcurl which services there are. Many of them know only the older of its two versions.
pub(super) fn add_to(routes: Routes) -> Routes {
    let builder = || {
        Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let added = || {
        let v1 = builder().build_v1()?.max_decoding_message_size(QUESTION_BYTES);
        let v1alpha = builder().build_v1alpha()?.max_decoding_message_size(QUESTION_BYTES);
        Ok::<_, Error>(routes.clone().add_service(v1).add_service(v1alpha))
    };
    // Descriptors that were made with the code cannot be wrong; all else is served without them.
    added().unwrap_or_else(|error| {
        tracing::error!(%error, "no reflection");
        routes
    })
}
