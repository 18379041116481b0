//! The saga of order and inventory, from the handlers in memory to real servers.

mod consumers;
mod delivery;
mod fulfilment;
mod late_inventory;
pub(crate) mod world;
