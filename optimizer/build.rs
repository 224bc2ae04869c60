//! Compiles `proto/onnx.proto3` into `OUT_DIR`; no `protoc` is needed.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto/onnx.proto3");
    let descriptors = protox::compile(["proto/onnx.proto3"], ["proto"])?;
    prost_build::Config::new()
        // Weights are the bulk of a model: one reference-counted buffer in place of copies.
        .bytes([".onnx.TensorProto.raw_data"])
        .compile_fds(descriptors)?;
    Ok(())
}
