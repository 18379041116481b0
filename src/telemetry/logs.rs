//! Structured logs by `tracing`, to standard error.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::config::LogConfig;

/// Starts logging; later calls change nothing. A filter that can't be read becomes `info`, with a warning.
pub fn start(config: &LogConfig) {
    let filter = EnvFilter::try_new(&config.log);
    let bad = filter.as_ref().err().map(ToString::to_string);
    let filter = filter.unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // When nobody reads the log any more, reporting that error would panic in the code that logs.
        .log_internal_errors(false)
        .with_target(true);
    // An error means that logging was started before, by a test harness.
    let _ = if config.log_format == "json" {
        builder.json().flatten_event(true).try_init()
    } else {
        let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
        builder.with_ansi(colours).try_init()
    };
    if let Some(error) = bad {
        tracing::warn!(error, "log filter not understood, using info");
    }
}
