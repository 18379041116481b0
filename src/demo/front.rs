//! The front of the shop: shelves are filled, customers order, and some cancel. Each look at the orders under
//! way also finds those that the bus hasn't reported, perhaps from an earlier run.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::SmallRng;
use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, sleep};
use trackops_client::Error;
use uuid::Uuid;

use super::catalogue::{self, ITEMS, SOLD_OUT};
use super::patience::Patience;
use super::rest::{Rest, is_trouble};
use super::schedule::Seen;

/// The time between two orders, in milliseconds: enough to see something, and hardly any load.
const ORDER_EVERY_MS: std::ops::Range<u64> = 3_000..5_000;
/// Customers stop ordering when so many orders are under way, those of other clients included.
const UNDER_WAY_MAX: usize = 20;
/// One order in so many is cancelled at the next look.
const CANCEL_ONE_IN: u32 = 12;
/// The time between two looks at the shelves.
const RESTOCK_EVERY: Duration = Duration::from_secs(60);
/// An item with fewer available is restocked. A minute's orders take less.
const SHELF_LOW: u64 = 60;
/// The available quantity of a full shelf.
const SHELF_FULL: u64 = 200;

struct Front {
    rest: Arc<dyn Rest>,
    inbox: Sender<Seen>,
    rng: SmallRng,
    restock_at: Instant,
    /// The order that its customer is about to cancel.
    regretted: Option<Uuid>,
}

/// Runs for ever.
pub async fn work(rest: Arc<dyn Rest>, inbox: Sender<Seen>, rng: SmallRng) {
    let mut front = Front {
        rest,
        inbox,
        rng,
        restock_at: Instant::now(),
        regretted: None,
    };
    let mut patience = Patience::default();
    loop {
        let pause = match front.turn().await {
            Ok(()) => {
                patience.worked();
                Duration::from_millis(front.rng.random_range(ORDER_EVERY_MS))
            }
            Err(error) => patience.failed("doing business", &error),
        };
        sleep(pause).await;
    }
}

impl Front {
    async fn turn(&mut self) -> Result<(), Error> {
        let under_way = self.rest.under_way().await?;
        let count = under_way.len();
        for seen in under_way {
            // Fails only if the floor has closed; then this ends too.
            let _ = self.inbox.send(seen).await;
        }
        if Instant::now() >= self.restock_at {
            self.restock().await?;
            self.restock_at = Instant::now() + RESTOCK_EVERY;
        }
        if let Some(order) = self.regretted.take() {
            let cancelled = self.rest.cancel(order, "changed my mind").await;
            // The cancellation may be too late: the order is on its way or was rejected.
            if let Err(error) = cancelled
                && is_trouble(&error)
            {
                return Err(error);
            }
        }
        if count < UNDER_WAY_MAX {
            let order = catalogue::order(&mut self.rng);
            let id = self.rest.place(&order).await?;
            tracing::debug!(order = %id, "demo: ordered");
            let regrets = self.rng.random_ratio(1, CANCEL_ONE_IN);
            self.regretted = regrets.then_some(id);
        }
        Ok(())
    }

    async fn restock(&self) -> Result<(), Error> {
        for (sku, _) in ITEMS {
            let level = self.rest.level(sku).await?;
            let (reserved, available) =
                level.map_or((0, 0), |level| (level.reserved, level.available));
            if available >= SHELF_LOW {
                continue;
            }
            match self.rest.stock(sku, reserved + SHELF_FULL).await {
                // A reservation or a release came in between: the next look tries again.
                Err(error) if !is_trouble(&error) => {
                    tracing::debug!(sku, %error, "demo: not restocked");
                }
                outcome => outcome?,
            }
        }
        if self.rest.level(SOLD_OUT.0).await?.is_none() {
            self.rest.stock(SOLD_OUT.0, 0).await?;
        }
        Ok(())
    }
}
