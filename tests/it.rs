//! The one integration-test binary: contract suites, end to end, fault injection.

#[path = "contract/mod.rs"]
mod contract;

#[path = "it/actors/mod.rs"]
mod actors;
#[path = "it/api/mod.rs"]
mod api;
#[path = "it/cli.rs"]
mod cli;
#[path = "it/consumers.rs"]
mod consumers;
#[path = "it/doubles/mod.rs"]
mod doubles;
#[path = "it/embedded.rs"]
mod embedded;
#[path = "it/kafka.rs"]
mod kafka;
#[path = "it/live.rs"]
mod live;
#[path = "it/live_support.rs"]
mod live_support;
#[path = "it/saga.rs"]
mod saga;
#[path = "it/track.rs"]
mod track;
#[path = "it/track_events.rs"]
mod track_events;
#[path = "it/track_support.rs"]
mod track_support;
#[path = "it/world.rs"]
mod world;
