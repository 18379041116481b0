//! The flags of `trackops keys`, as clap (derive) reads them.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use uuid::Uuid;

/// What follows the flags in the help.
pub const HELP: &str = "\
Examples:
  trackops keys create --name admin --role operator
  trackops keys create --name till-3 --role kitchen --shop north --expires 90d
  trackops keys list
  trackops keys revoke 0123456789abcdef

Works on the orders' database directly, so that the first key can be made; later ones can also be
made at /admin/v1/keys. A key is printed once and kept nowhere. A revoked key ends everywhere
within two seconds.";

/// `trackops keys`.
#[derive(Clone, Debug, Args)]
pub struct KeysArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: KeysCommand,
    /// The data directory of a `dev` that is not running, instead of the configured database
    #[arg(long, value_name = "DIR", conflicts_with = "config", global = true)]
    pub data_dir: Option<PathBuf>,
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// Refuse TRACKOPS_… variables that mean nothing, instead of warning of them
    #[arg(long, global = true)]
    pub strict: bool,
}

/// What to do with keys.
#[derive(Clone, Debug, Subcommand)]
pub enum KeysCommand {
    /// Make a key and print it, this once
    Create(CreateArgs),
    /// List keys, also those that aren't valid any more
    List,
    /// End a key
    Revoke {
        /// The public part of the key, between the underscores; or the whole key
        id: String,
    },
}

/// `trackops keys create`.
#[derive(Clone, Debug, Args)]
pub struct CreateArgs {
    /// Whose it is: shown in the history of orders, 1 to 64 visible ASCII characters
    #[arg(long)]
    pub name: String,
    /// customer, kitchen, courier, service, operator or viewer
    #[arg(long)]
    pub role: String,
    /// Of a kitchen: a shop whose orders it sees; may be repeated
    #[arg(long = "shop", value_name = "SHOP")]
    pub shops: Vec<String>,
    /// Of a customer: whose orders it sees
    #[arg(long, value_name = "UUID")]
    pub customer: Option<Uuid>,
    /// Of a courier: whose orders it sees
    #[arg(long, value_name = "ID")]
    pub courier: Option<String>,
    /// It ends after so many days; never, unless given
    #[arg(long, value_name = "DAYS", value_parser = super::days::days)]
    pub expires: Option<u32>,
}
