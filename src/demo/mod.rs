//! The small shop behind `dev --demo`: customers, kitchens and couriers. A client of REST and the bus like
//! any other; it moves every order on, including those that a person has placed.
//!
//! Three workers: [`intake`] learns of orders from the bus, [`floor`] cooks and carries them, [`front`]
//! stocks the shelves and places orders. It stores nothing: after a restart the shop finds the orders under
//! way by REST and goes on.

mod catalogue;
mod floor;
mod front;
mod intake;
mod patience;
mod places;
mod rest;
mod schedule;

use std::sync::Arc;

use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::ports::bus::Bus;
use rest::{HttpRest, Rest};
use schedule::Schedule;

/// Orders that were seen and wait for the floor: the messages of one poll. A sender that has more waits.
const SEEN_MAX: usize = 256;

/// The services that the shop uses.
pub struct DemoSettings {
    /// The order service, `http://host:port`.
    pub url: String,
    /// The inventory service, `http://host:port`; in `dev` the same.
    pub inventory_url: String,
    /// The bus.
    pub bus: Arc<dyn Bus>,
    /// The same seed gives the same orders at the same moments; random if there is none.
    pub seed: Option<u64>,
}

/// Runs the shop until `stop` is cancelled. Requests that fail are tried again with growing pauses; no
/// failure ends the shop.
pub async fn run(settings: DemoSettings, stop: CancellationToken) {
    let rest = match HttpRest::new(&settings.url, &settings.inventory_url) {
        Ok(rest) => Arc::new(rest),
        Err(error) => {
            tracing::error!(error = %error, "demo: the shop can't open");
            return;
        }
    };
    tracing::info!("demo: the shop is open");
    let seed = settings.seed.unwrap_or_else(rand::random);
    run_with(rest, settings.bus, seed, &stop).await;
}

async fn run_with(rest: Arc<dyn Rest>, bus: Arc<dyn Bus>, seed: u64, stop: &CancellationToken) {
    let (inbox, sightings) = mpsc::channel(SEEN_MAX);
    let mut rng = SmallRng::seed_from_u64(seed);
    let schedule = Schedule::new(rng.fork());
    let floor = floor::work(Arc::clone(&rest), Arc::clone(&bus), sightings, schedule);
    let front = front::work(rest, inbox.clone(), rng);
    tokio::join!(
        intake::work(bus, inbox, stop),
        stop.run_until_cancelled(floor),
        stop.run_until_cancelled(front),
    );
}

#[cfg(test)]
mod tests;
