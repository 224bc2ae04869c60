//! Compiles the Open Inference Protocol's gRPC service without `protoc`.

use std::path::PathBuf;

use prost::Message as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let proto = "proto/open_inference_grpc.proto";
    println!("cargo:rerun-if-changed={proto}");
    let files = protox::compile([proto], ["proto"])?;
    // What reflection tells clients.
    std::fs::write(PathBuf::from(std::env::var("OUT_DIR")?).join("inference.bin"), files.encode_to_vec())?;
    // `Bytes`: tensors are slices of the received message, not copies of it.
    tonic_prost_build::configure().bytes(".inference").compile_fds(files)?;
    Ok(())
}
