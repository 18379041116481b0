//! The inventory service's side of the bus: orders placed, cancelled and delivered become requests
//! to the stock ledger. Replies leave by the inventory's own outbox.

mod handler;
mod requests;

use std::sync::Arc;
use std::time::Duration;

pub use handler::StockHandler;

use crate::codec::topics::Topic;
use crate::messaging::runner::{Runner, RunnerSettings};
use crate::ports::bus::{Bus, Subscription};
use crate::ports::clock::Clock;
use crate::ports::stock::StockStore;

/// The consumer group.
pub const GROUP: &str = "trackops-inventory";

/// What it consumes.
pub const TOPICS: [Topic; 3] = [
    Topic::OrderCreated,
    Topic::OrderCancelled,
    Topic::OrderDelivered,
];

/// Messages in one transaction: past a few hundred the items stay locked longer than is gained.
const BATCH_MAX: usize = 400;

/// Transactions at once. They lock the same popular items: a second one would mostly wait.
const IN_FLIGHT_MAX: usize = 1;

/// Between two polls: a few milliseconds more for one message are a commit less for several.
const GATHER: Duration = Duration::from_millis(5);

/// The consumer, ready to run. `member` is this replica's name in the group.
pub fn runner(
    bus: Arc<dyn Bus>,
    store: Arc<dyn StockStore>,
    clock: Arc<dyn Clock>,
    member: &str,
) -> Runner {
    let subscription = Subscription {
        group: GROUP.into(),
        topics: TOPICS.iter().map(|topic| topic.as_str().into()).collect(),
        member: member.into(),
    };
    let settings = RunnerSettings {
        batch_max: BATCH_MAX,
        in_flight_max: IN_FLIGHT_MAX,
        gather: GATHER,
    };
    let handler = Arc::new(StockHandler::new(store, Arc::clone(&clock)));
    Runner::new(bus, subscription, handler, settings, clock)
}
