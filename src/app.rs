//! Wires ports to adapters and roles to ports: the only place that names adapters. Each role is a
//! file; `core` is the order service without its adapters, shared by the role `order` and by `dev`.

mod checks;
mod core;
mod desk;
mod dev;
mod inventory;
mod late;
mod lifecycle;
mod listeners;
mod migrate;
mod order;
mod relay;
mod replica;

pub use dev::{DevOptions, run_dev};
pub use inventory::run_inventory;
pub use migrate::migrate;
pub use order::run_order;
pub use relay::run_relay;
