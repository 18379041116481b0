//! Which server a client command talks to, and whom it trusts. Leaves the requests to [`super::server`].

use std::path::PathBuf;

use clap::Args;
use secrecy::SecretString;

use super::failure::CliError;

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
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment would become a heading of the help")]
    pub credential: Credential,
}

/// Who a client command says it is.
#[derive(Clone, Debug, Default, Args)]
pub struct Credential {
    /// An API key in a file, instead of that in `TRACKOPS_API_KEY`
    #[arg(
        long,
        value_name = "FILE",
        env = "TRACKOPS_API_KEY_FILE",
        hide_env_values = true,
        global = true
    )]
    pub api_key_file: Option<PathBuf>,
}

impl Credential {
    /// The credential, if there is one.
    pub fn read(&self) -> Result<Option<SecretString>, CliError> {
        let Some(file) = &self.api_key_file else {
            let given = std::env::var("TRACKOPS_API_KEY").ok();
            return Ok(given.filter(|key| !key.is_empty()).map(SecretString::from));
        };
        let read = std::fs::read_to_string(file).map_err(|source| CliError::Input {
            name: file.display().to_string(),
            source,
        })?;
        let key = read.trim();
        if key.is_empty() {
            let name = file.display();
            return Err(CliError::Usage(format!("{name} has no key in it")));
        }
        Ok(Some(key.into()))
    }
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
