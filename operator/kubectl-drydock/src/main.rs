use std::process::ExitCode;

use clap::Parser as _;
use kubectl_drydock::{Args, Outcome, run};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::parse();
    // Named, so that it does not depend on which crates of the workspace are built together.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match Box::pin(run(args, &mut std::io::stdout())).await {
        Ok(outcome) => outcome.into(),
        Err(error) => {
            eprintln!("error: {error}");
            Outcome::Failed.into()
        }
    }
}
