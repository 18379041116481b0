//! The inventory service's consumer: turns orders placed, cancelled and delivered into requests to the
//! stock ledger. Leaves publishing the replies to inventory's own outbox and its relay.

mod groups;
mod handler;
#[cfg(test)]
mod parsing_tests;
mod replied;
mod requests;

use std::sync::Arc;
use std::time::Duration;

pub use groups::{GROUP, REPLIED_GROUP};
pub use handler::StockHandler;
use replied::Replied;
use tokio_util::sync::CancellationToken;

use crate::messaging::runner::Runner;
use crate::messaging::settings::RunnerSettings;
use crate::model::topic::Topic;
use crate::ports::bus::{Bus, Subscription};
use crate::ports::clock::Clock;
use crate::ports::groups::Groups;
use crate::ports::stock::StockStore;

/// The topics that it consumes.
pub const TOPICS: [Topic; 3] = [
    Topic::OrderCreated,
    Topic::OrderCancelled,
    Topic::OrderDelivered,
];

/// The most messages in one transaction. With more than a few hundred, longer locks on the items cost
/// more than is gained.
const BATCH_MAX: usize = 400;

/// The most batches at once: one commits while the next is read. More would only wait.
const IN_FLIGHT_MAX: usize = 2;

/// The parts of the inventory service.
pub struct Parts {
    /// The bus.
    pub bus: Arc<dyn Bus>,
    /// Its groups.
    pub groups: Arc<dyn Groups>,
    /// The ledger.
    pub store: Arc<dyn StockStore>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

/// Consumes until `stop`. `member` is this replica's name in the group.
pub fn run(
    parts: Parts,
    member: &str,
    stop: CancellationToken,
) -> impl Future<Output = ()> + Send + use<> {
    let (bus, replied) = Replied::over(parts.bus, parts.groups, Arc::clone(&parts.store));
    let consumer = runner(bus, parts.store, parts.clock, member);
    async move {
        tokio::select! {
            () = consumer.run(stop) => {}
            never = replied.run() => match never {},
        }
    }
}

/// The pause between two polls. It costs one message a few milliseconds and saves a commit for several.
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
