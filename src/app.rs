//! Wires ports to adapters and roles to ports: the only place that names adapters. Each role is a file;
//! `core` is the order service without its adapters, shared by the role `order` and by `dev`.

mod access;
mod checks;
mod cluster;
mod cluster_admin;
mod cluster_clock;
mod consumer;
mod core;
mod dead_letter_admin;
mod dev;
mod exposure;
mod inventory;
mod keys;
mod late_bound;
mod lifecycle;
mod limits;
mod listeners;
mod migrate;
mod order;
mod order_routes;
mod prune;
mod relay;
mod replica;
mod servers;
mod tracking_links;

use std::path::Path;

use crate::cli::args::{ConfigArgs, DevArgs, PruneArgs, Role, RoleArgs};
use crate::cli::keys_args::KeysArgs;
use crate::config::{Config, ConfigError, Flags};
use crate::telemetry::logs;

/// `trackops dev`.
pub async fn run_dev(args: DevArgs) -> anyhow::Result<()> {
    let flags = Flags {
        listen: args.listen.clone(),
        is_strict: args.strict,
    };
    dev::run(begin(None, &flags)?, args).await
}

/// `trackops order|inventory|relay`.
pub async fn run_role(role: Role, args: RoleArgs) -> anyhow::Result<()> {
    let flags = Flags {
        listen: args.listen,
        is_strict: args.strict,
    };
    let config = begin(args.config.as_deref(), &flags)?;
    match role {
        Role::Order => order::run(config).await,
        Role::Inventory => inventory::run(config).await,
        Role::Relay => relay::run(config).await,
    }
}

/// `trackops migrate`.
pub async fn migrate(args: &ConfigArgs) -> anyhow::Result<()> {
    let flags = Flags {
        is_strict: args.strict,
        ..Flags::default()
    };
    migrate::run(begin(args.config.as_deref(), &flags)?).await
}

/// Reads the configuration and starts the logs. Warns of environment variables that have no meaning.
fn begin(file: Option<&Path>, flags: &Flags) -> Result<Config, ConfigError> {
    let config = Config::load(file, flags)?;
    logs::start(&config.log);
    for misspelt in &config.misspelt {
        let nearest = misspelt.nearest.as_deref();
        tracing::warn!(
            variable = misspelt.name,
            nearest,
            "a variable means nothing"
        );
    }
    Ok(config)
}

/// `trackops keys`.
pub async fn keys(args: KeysArgs) -> anyhow::Result<()> {
    let flags = Flags {
        is_strict: args.strict,
        ..Flags::default()
    };
    keys::run(begin(args.config.as_deref(), &flags)?, args).await
}

/// `trackops prune`.
pub async fn prune(args: PruneArgs) -> anyhow::Result<()> {
    let flags = Flags {
        is_strict: args.strict,
        ..Flags::default()
    };
    prune::run(begin(args.config.as_deref(), &flags)?, args).await
}
