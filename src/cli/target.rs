//! Which server a client command talks to, and whom it trusts. Leaves the requests to [`super::server`].

use std::path::PathBuf;

use clap::Args;

/// The default public address of the order service.
pub const DEFAULT_URL: &str = "http://127.0.0.1:8080";
/// The default management address of the order service.
pub const DEFAULT_MANAGEMENT_URL: &str = "http://127.0.0.1:9080";

/// Which server a client command talks to.
#[derive(Clone, Debug, Args)]
pub struct Target {
    /// The order service
    #[arg(long, value_name = "URL", env = "TRACKOPS_URL", hide_env_values = true, default_value = DEFAULT_URL)]
    pub url: String,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment would become a heading of the help")]
    pub trust: Trust,
}

/// Whom a client command trusts at `https://`.
#[derive(Clone, Debug, Default, Args)]
pub struct Trust {
    /// At https://, trust the authorities in this PEM file instead of the system's
    #[arg(
        long,
        value_name = "FILE",
        env = "TRACKOPS_CA_FILE",
        hide_env_values = true,
        global = true
    )]
    pub ca: Option<PathBuf>,
}
