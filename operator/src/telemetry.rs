use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// One JSON object per line on standard output; `filter` as in `RUST_LOG`: `info`, `info,drydock_operator=debug`.
pub fn init(filter: &str) -> Result<(), ParseError> {
    let filter = EnvFilter::builder().parse(filter)?;
    // What is worth saying names its object itself: kube's spans around a pass would say it three times more.
    let lines = tracing_subscriber::fmt().json().flatten_event(true).with_current_span(false).with_span_list(false);
    lines.with_env_filter(filter).init();
    Ok(())
}
