//! Which server a client command talks to. Leaves the talking to [`super::client`].

use clap::Args;

/// The order service's public address, unless something else is said.
pub const DEFAULT_URL: &str = "http://127.0.0.1:8080";
/// The order service's management address, unless something else is said.
pub const DEFAULT_MANAGEMENT_URL: &str = "http://127.0.0.1:9080";

/// Which server a client command talks to.
#[derive(Clone, Debug, Args)]
pub struct Target {
    /// The order service
    #[arg(long, value_name = "URL", env = "TRACKOPS_URL", hide_env_values = true, default_value = DEFAULT_URL)]
    pub url: String,
}
