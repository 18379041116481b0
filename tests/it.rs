//! The one integration-test binary: contract suites, end to end, fault injection.

#[path = "it/actors/mod.rs"]
mod actors;
#[path = "it/api/mod.rs"]
mod api;
#[path = "it/bad_input.rs"]
mod bad_input;
#[path = "it/cli.rs"]
mod cli;
#[path = "it/cluster/mod.rs"]
mod cluster;
#[path = "it/consumers.rs"]
mod consumers;
#[path = "contract/mod.rs"]
mod contract;
#[path = "it/demo_command.rs"]
mod demo_command;
#[path = "it/dev_command.rs"]
mod dev_command;
#[path = "it/disk_full.rs"]
mod disk_full;
#[path = "it/doubles/mod.rs"]
mod doubles;
#[path = "it/embedded.rs"]
mod embedded;
#[path = "it/end_to_end.rs"]
mod end_to_end;
#[path = "it/flood.rs"]
mod flood;
#[path = "it/fulfilment.rs"]
mod fulfilment;
#[path = "it/kafka.rs"]
mod kafka;
#[path = "it/kill.rs"]
mod kill;
#[path = "it/kill_dev.rs"]
mod kill_dev;
#[path = "it/late_inventory.rs"]
mod late_inventory;
#[path = "it/live.rs"]
mod live;
#[path = "it/live_support.rs"]
mod live_support;
#[path = "it/metrics.rs"]
mod metrics;
#[path = "it/nginx.rs"]
mod nginx;
#[path = "it/outage.rs"]
mod outage;
#[path = "it/poolers.rs"]
mod poolers;
#[path = "it/quarantine.rs"]
mod quarantine;
#[path = "it/recovery.rs"]
mod recovery;
#[path = "it/red.rs"]
mod red;
#[path = "it/relays.rs"]
mod relays;
#[path = "it/replicas.rs"]
mod replicas;
#[path = "it/saga.rs"]
mod saga;
#[path = "it/scenarios.rs"]
mod scenarios;
#[path = "it/shutdown.rs"]
mod shutdown;
#[path = "it/sim/mod.rs"]
mod sim;
#[path = "it/startup.rs"]
mod startup;
#[path = "it/support/mod.rs"]
mod support;
#[path = "it/tampering.rs"]
mod tampering;
#[path = "it/track.rs"]
mod track;
#[path = "it/track_events.rs"]
mod track_events;
#[path = "it/track_support.rs"]
mod track_support;
#[path = "it/world.rs"]
mod world;
