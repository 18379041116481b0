//! Wires ports to adapters and roles to ports: the only place that names adapters. Each role is a
//! file; `core` is the order service without its adapters, shared by the role `order` and by `dev`.

mod checks;
mod cluster;
mod cluster_clock;
mod cluster_desk;
mod consumer;
mod core;
mod desk;
mod dev;
mod face;
mod inventory;
mod late;
mod lifecycle;
mod listeners;
mod migrate;
mod order;
mod prune;
mod relay;
mod replica;

use std::path::PathBuf;

use crate::cli::args::{DevArgs, PruneArgs, Role};
use crate::config::{Config, Flags};

/// `trackops dev`.
pub async fn run_dev(args: DevArgs) -> anyhow::Result<()> {
    let flags = Flags {
        listen: args.listen.clone(),
    };
    dev::run(Config::load(None, &flags)?, args).await
}

/// `trackops order|inventory|relay`.
pub async fn run_role(
    role: Role,
    file: Option<PathBuf>,
    listen: Option<String>,
) -> anyhow::Result<()> {
    let config = Config::load(file.as_deref(), &Flags { listen })?;
    match role {
        Role::Order => order::run(config).await,
        Role::Inventory => inventory::run(config).await,
        Role::Relay => relay::run(config).await,
    }
}

/// `trackops migrate`.
pub async fn migrate(file: Option<PathBuf>) -> anyhow::Result<()> {
    migrate::run(Config::load(file.as_deref(), &Flags::default())?).await
}

/// `trackops prune`.
pub async fn prune(args: PruneArgs) -> anyhow::Result<()> {
    let config = Config::load(args.config.as_deref(), &Flags::default())?;
    prune::run(config, args).await
}
