//! The relay of one process: carries the rows of its outboxes to the bus. Several relays may run at once;
//! each outbox lane is leased by one of them, so each order stays with one relay. Leaves a single outbox
//! to `outbox_relay`.

use std::sync::Arc;

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::outbox_relay::OutboxRelay;
use super::relayed_outbox::{Counters, OutboxReport, RelayedOutbox};
use super::settings::RelaySettings;
use crate::ports::bus::Bus;
use crate::ports::outbox::Outbox;

/// The relay of one process. Cheap to share; [`Self::run`] is to be called once.
pub struct Relay {
    keepers: Vec<Arc<OutboxRelay>>,
}

impl Relay {
    /// A relay named `holder`. The name must be unique, and new with each start of the process.
    pub fn new(
        outboxes: Vec<Arc<dyn Outbox>>,
        bus: Arc<dyn Bus>,
        settings: RelaySettings,
        holder: String,
    ) -> Self {
        let holder: Arc<str> = holder.into();
        let keeper = move |outbox| {
            let (bus, holder) = (Arc::clone(&bus), Arc::clone(&holder));
            let relayed = RelayedOutbox {
                outbox,
                bus,
                settings: settings.clone(),
                holder,
                counters: Counters::default(),
            };
            Arc::new(OutboxRelay::new(relayed))
        };
        Self {
            keepers: outboxes.into_iter().map(keeper).collect(),
        }
    }

    /// Relays until `stop`; then waits for the rows in flight, removes those that were acknowledged and
    /// gives up the leases. Panics if one of its tasks panics.
    pub async fn run(&self, stop: CancellationToken) {
        let tasks = self.keepers.iter().map(|keeper| {
            let run = Arc::clone(keeper).run(stop.clone());
            AbortOnDropHandle::new(tokio::spawn(run))
        });
        for ended in join_all(tasks.collect::<Vec<_>>()).await {
            if let Err(error) = ended
                && let Ok(panic) = error.try_into_panic()
            {
                std::panic::resume_unwind(panic);
            }
        }
    }

    /// A report on each outbox.
    pub async fn stats(&self) -> Vec<OutboxReport> {
        join_all(self.keepers.iter().map(|keeper| keeper.relayed.report())).await
    }
}
