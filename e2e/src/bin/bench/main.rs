//! What `make bench-serving` measures with: a load that costs little itself, the bare engine, and what both are given.

mod engine;
mod given;
mod load;
mod process;
mod reference;
mod socket;

use std::error::Error;
use std::path::PathBuf;

use clap::Parser;

#[derive(Debug, Parser)]
enum Command {
    /// Makes a model package of a model with one input and one output, and prints its digest.
    Package { model: PathBuf, directory: PathBuf },
    /// Makes `json.body`, `binary.body` and `grpc.body` of `input.f32`, and prints the length of the binary body's JSON part.
    Bodies { directory: PathBuf, model_name: String },
    /// Runs a model in this process, and prints what that cost.
    Engine(engine::Engine),
    /// Runs it behind a bare socket, in a process of its own, and prints what that cost.
    Socket(socket::Socket),
    /// Reads a JSON body with serde_json in this process, and prints what that cost.
    Parse {
        body: PathBuf,
        #[arg(long, default_value_t = 100)]
        runs: u32,
    },
    /// Sends requests, and prints what came back and what that cost the server.
    Load(load::Load),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let said = match Command::parse() {
        Command::Package { model, directory } => given::package(&model, &directory)?,
        Command::Bodies { directory, model_name } => given::bodies(&directory, &model_name)?,
        Command::Engine(engine) => engine.run()?,
        Command::Socket(socket) => socket.run()?,
        Command::Parse { body, runs } => reference::parse(&body, runs)?,
        Command::Load(load) => load.run().await?,
    };
    println!("{said}");
    Ok(())
}
