//! The one integration-test binary: contract suites, end to end, fault injection.

#[path = "it/actors/mod.rs"]
mod actors;
#[path = "it/bad_input.rs"]
mod bad_input;
#[path = "contract/mod.rs"]
mod contract;
#[path = "it/doubles/mod.rs"]
mod doubles;
#[path = "it/embedded.rs"]
mod embedded;
#[path = "it/end_to_end.rs"]
mod end_to_end;
#[path = "it/kafka.rs"]
mod kafka;
#[path = "it/kill.rs"]
mod kill;
#[path = "it/live.rs"]
mod live;
#[path = "it/live_support.rs"]
mod live_support;
#[path = "it/scenarios.rs"]
mod scenarios;
#[path = "it/support/mod.rs"]
mod support;
#[path = "it/track.rs"]
mod track;
#[path = "it/track_events.rs"]
mod track_events;
#[path = "it/track_support.rs"]
mod track_support;
