//! Passivation: ends the actors of orders that have had no work for a while. A passive order costs nothing
//! but its row. Once a second the sweeper also reports what is in memory.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::live_orders::LiveOrders;
use super::shard::Shard;
use crate::telemetry::names;

/// The time between two checks for due orders. A due order is found at once, so a check that finds none is
/// free.
const LOOK: Duration = Duration::from_millis(100);

/// A report every so many checks.
const LOOKS_PER_REPORT: u32 = 10;

/// Orders ended before other tasks get their turn: a hundred microseconds or so.
const STEP: u32 = 64;

/// Runs until `stop` is cancelled.
pub(super) async fn run(
    live: Arc<LiveOrders>,
    context: Arc<Context>,
    shards: Arc<[Arc<Shard>]>,
    stop: CancellationToken,
) {
    let mut timer = tokio::time::interval(LOOK);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut looks = 0_u32;
    loop {
        tokio::select! {
            biased;
            _ = timer.tick() => {}
            () = stop.cancelled() => return,
        }
        // A loaded order weighs more than it did when it was let in.
        while end_some(&live, true) || (live.is_over() && end_some(&live, false)) {
            tokio::task::yield_now().await;
        }
        looks = looks.wrapping_add(1);
        if looks.is_multiple_of(LOOKS_PER_REPORT) {
            live.shrink();
            report(&live, &context, &shards);
        }
    }
}

/// Ends up to `STEP` orders. Returns whether there may be more. If every order that it checked is at work,
/// the next check is early enough.
fn end_some(live: &LiveOrders, only_due: bool) -> bool {
    let mut has_ended = false;
    for _ in 0..STEP {
        if !only_due && !live.is_over() {
            return false;
        }
        match live.end_idlest(only_due) {
            None => return false,
            Some(was_idle) => has_ended |= was_idle,
        }
    }
    has_ended
}

fn report(live: &LiveOrders, context: &Context, shards: &[Arc<Shard>]) {
    metrics::gauge!(names::ORDERS_LIVE).set(f64::from(live.actors()));
    metrics::gauge!(names::MAILBOX_DEPTH).set(f64::from(context.admission.waiting()));
    let quarantined: usize = shards.iter().map(|s| s.failures.quarantined()).sum();
    let owned = context.ownership.owned().len();
    #[expect(
        clippy::cast_precision_loss,
        reason = "at most thousands of either, or megabytes"
    )]
    {
        metrics::gauge!(names::ACTORS_QUARANTINED).set(quarantined as f64);
        metrics::gauge!(names::SHARDS_OWNED).set(owned as f64);
        metrics::gauge!(names::ORDERS_LIVE_BYTES).set(live.bytes() as f64);
        metrics::gauge!(names::MAILBOX_BYTES).set(context.admission.waiting_bytes() as f64);
    }
}
