//! The command line of the whole binary, as clap (derive) reads it. Leaves its meaning to the commands and to
//! `app`, and the flags of the client commands to [`super::client_args`].

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::client_args::ClientCommand;
use super::days::days;
use super::keys_args::KeysArgs;

/// Where `dev` keeps its data.
pub const DEFAULT_DATA_DIR: &str = "./trackops-data";

const TOP_HELP: &str = "\
Try it:
  trackops dev --demo           everything in one process, with a small shop at work
  trackops place --watch        in another terminal: place an order and follow it

Environment:
  TRACKOPS_URL                  the server that the client commands talk to
  TRACKOPS_MANAGEMENT_URL       the server that dead-letters talks to
  TRACKOPS_API_KEY              the API key that they send; TRACKOPS_API_KEY_FILE names a file with it
  TRACKOPS_CA_FILE              whom they trust at https://, instead of the system's authorities
  TRACKOPS_LOG                  log filter of the servers, e.g. info,trackops::outbox=debug
  TRACKOPS_LISTEN, …            every key of the configuration: see `trackops config`;
                                a secret may be in a file: TRACKOPS_LINK_SECRET_FILE, …

Exit codes: 0 done, 1 refused or failed, 2 wrong usage.";

const DEV_HELP: &str = "\
Examples:
  trackops dev --demo
  trackops dev --data-dir /tmp/shop --listen 127.0.0.1:9000

Nothing else has to be installed: journal, stock and bus are one SQLite file in the data
directory. Without --demo the stock is empty; what is printed at start says how to set it.";

const PRUNE_HELP: &str = "\
Examples:
  trackops prune --older-than 90d --dry-run
  trackops prune --older-than 90d

Works on the databases directly, in small pages with rests between them, beside running roles. An
order goes with its events once it is DELIVERED, REJECTED or CANCELLED and its stock is settled; a
reservation once it holds nothing; an adjustment of stock by its age alone. The key retention_days
does the same every day.

An Idempotency-Key of an order that is gone places a new order.";

const ROLE_HELP: &str = "\
Environment: TRACKOPS_ORDERS_DATABASE_URL, TRACKOPS_INVENTORY_DATABASE_URL,
TRACKOPS_KAFKA_BROKERS, TRACKOPS_REDIS_URL, TRACKOPS_LISTEN, TRACKOPS_MANAGEMENT_LISTEN,
TRACKOPS_NODE_ID and every other key that `trackops config` prints.
Later ones win: defaults, file, environment, flags. Run `trackops migrate` first.";

/// Order tracking: one supervised actor per live order, journalled, published and watched live.
#[derive(Debug, Parser)]
#[command(name = "trackops", version, after_help = TOP_HELP)]
#[command(arg_required_else_help = true, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Everything that the binary does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run everything in one process, with nothing else installed
    #[command(after_help = DEV_HELP)]
    Dev(DevArgs),
    /// A client command.
    #[command(flatten)]
    Client(ClientCommand),
    /// Run the order service: REST, live tracking, order actors (8080, management 9080)
    #[command(after_help = ROLE_HELP)]
    Order(RoleArgs),
    /// Run the inventory service: stock and reservations (8081, management 9081)
    #[command(after_help = ROLE_HELP)]
    Inventory(RoleArgs),
    /// Run the event relay: outboxes to Kafka (8082, management 9082)
    #[command(after_help = ROLE_HELP)]
    Relay(RoleArgs),
    /// Bring the databases up to date and create the topics
    #[command(after_help = ROLE_HELP)]
    Migrate(ConfigArgs),
    /// Remove orders and reservations that have long been settled, and old adjustments of stock
    #[command(after_help = PRUNE_HELP)]
    Prune(PruneArgs),
    /// Make, list and revoke API keys
    #[command(after_help = super::keys_args::HELP)]
    Keys(KeysArgs),
    /// Print the configuration in force, secrets masked
    Config(ConfigArgs),
}

/// A service that runs alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// REST, live tracking, actors.
    Order,
    /// Stock and reservations.
    Inventory,
    /// Outboxes to Kafka.
    Relay,
}

/// `trackops dev`.
#[derive(Clone, Debug, Args)]
pub struct DevArgs {
    /// Where orders, stock and messages are kept; made if it isn't there
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA_DIR)]
    pub data_dir: PathBuf,
    /// Address to listen on.
    #[arg(long, value_name = "ADDR")]
    #[arg(help = "Address to listen on [default: 127.0.0.1:8080] [env: TRACKOPS_LISTEN]")]
    pub listen: Option<String>,
    /// Stock a catalogue and let simulated customers, kitchens and couriers work
    #[arg(long)]
    pub demo: bool,
    /// Listen on an address beyond loopback too, although nobody is asked who they are
    #[arg(long)]
    pub expose_unprotected: bool,
    /// Refuse TRACKOPS_… variables that mean nothing, instead of warning of them
    #[arg(long)]
    pub strict: bool,
}

/// `trackops order|inventory|relay`.
#[derive(Clone, Debug, Args)]
pub struct RoleArgs {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Public address to listen on.
    #[arg(long, value_name = "ADDR")]
    #[arg(help = "Public address [default: the role's port on 127.0.0.1] [env: TRACKOPS_LISTEN]")]
    pub listen: Option<String>,
    /// Refuse TRACKOPS_… variables that mean nothing, instead of warning of them
    #[arg(long)]
    pub strict: bool,
}

/// `trackops prune`.
#[derive(Clone, Debug, Args)]
pub struct PruneArgs {
    /// Remove what has not changed for so many days
    #[arg(long, value_name = "DAYS", value_parser = days)]
    pub older_than: u32,
    /// Only count what would go
    #[arg(long)]
    pub dry_run: bool,
    /// The data directory of a `dev` that is not running, instead of the configured databases
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    pub data_dir: Option<PathBuf>,
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Refuse TRACKOPS_… variables that mean nothing, instead of warning of them
    #[arg(long)]
    pub strict: bool,
}

/// A command that only needs the configuration.
#[derive(Clone, Debug, Args)]
pub struct ConfigArgs {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Refuse TRACKOPS_… variables that mean nothing, instead of warning of them
    #[arg(long)]
    pub strict: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }
}
