//! The one integration-test binary: contract suites, end to end, fault injection.

#[path = "it/consumers.rs"]
mod consumers;
#[path = "contract/mod.rs"]
mod contract;
#[path = "it/kafka.rs"]
mod kafka;
#[path = "it/saga.rs"]
mod saga;
#[path = "it/world.rs"]
mod world;
