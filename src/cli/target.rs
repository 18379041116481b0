//! Which server a client command talks to. Leaves the requests to [`super::server`].

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
}
