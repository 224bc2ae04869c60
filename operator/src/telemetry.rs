use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// One JSON object per line on standard output; `filter` as in `RUST_LOG`: `info`, `info,drydock_operator=debug`.
pub fn init(filter: &str) -> Result<(), ParseError> {
    let filter = EnvFilter::builder().parse(filter)?;
    tracing_subscriber::fmt().json().flatten_event(true).with_env_filter(filter).init();
    Ok(())
}
