//! The deadline scanner: one query finds the due orders of all shards of the replica, and the scanner wakes
//! them at a bounded rate. No actor has to stay alive for its timer. The domain decides what a passed
//! deadline means.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use trackops_cluster::outage::causes;
use trackops_domain::access::Caller;
use trackops_domain::command::{Command, HeldUp};
use trackops_domain::ids::CommandId;

use super::context::Context;
use super::saga_route::{SagaRoute, Waits};
use super::stuck::StuckSagas;
use crate::codec::trace;
use crate::model::order_request::CommandRequest;
use crate::model::orders_error::OrdersError;
use crate::ports::journal::{Due, Journal};
use crate::ports::orders::{Orders, OrdersExt};
use crate::ports::sagas::Sagas;
use crate::telemetry::repeated::RepeatedLog;

/// Wakes in flight: enough to fill a batch of the writer, too few to crowd out clients.
const AT_ONCE: usize = 64;

/// A round looks at no more than this many times its usual number of orders.
const REACH_MAX: u32 = 10;

/// What the scanner uses besides deadlines; `None` where it isn't available.
pub(super) struct ScannerParts {
    pub route: Option<SagaRoute>,
    pub sagas: Option<Arc<dyn Sagas>>,
}

/// Runs until `stop` is cancelled.
pub(super) async fn run(
    context: Arc<Context>,
    orders: Arc<dyn Orders>,
    journal: Arc<dyn Journal>,
    parts: ScannerParts,
    stop: CancellationToken,
) {
    let mut timer = tokio::time::interval(context.settings.scan_every);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // Some orders stay due: they were left for a later round, or can't be handled. They would fill every
    // round, so each round looks past them.
    let mut stay_due = 0;
    let mut waits = Waits::default();
    let mut stuck_sagas = StuckSagas::new(parts.sagas);
    let failures = RepeatedLog::new();
    loop {
        tokio::select! {
            biased;
            _ = timer.tick() => {}
            () = stop.cancelled() => return,
        }
        let owned = context.ownership.open();
        let is_mine = !owned.is_empty() && context.ownership.lease_holds();
        // The owners of the other shards count theirs.
        let counted = if is_mine { &owned[..] } else { &[] };
        stuck_sagas.report(&context, counted).await;
        if !is_mine {
            continue;
        }
        match journal
            .due(
                &owned,
                context.clock.now(),
                reach(context.settings.wakes_per_scan_max, stay_due),
            )
            .await
        {
            Ok(due) => {
                if let Some(outage) = failures.recovered(Instant::now()) {
                    let lasted = outage.lasted;
                    tracing::info!(?lasted, "deadlines are looked up again");
                }
                let found = due.len();
                let woken = judged(parts.route.as_ref(), &mut waits, due).await;
                let left = found - woken.len();
                stay_due = left
                    + stream::iter(woken)
                        .map(|(due, held_up)| wake(&*orders, due, held_up))
                        .buffer_unordered(AT_ONCE)
                        .filter(|stays_due| std::future::ready(*stays_due))
                        .count()
                        .await;
            }
            Err(error) => {
                if let Some(repeats) = failures.failed(Instant::now()) {
                    let (error, looks) = (causes(&error), repeats.count);
                    tracing::warn!(error, looks, "deadlines can't be looked up");
                }
            }
        }
    }
}

/// Picks those of `due` that are to be woken. Asks the bus only if an order depends on it.
async fn judged(route: Option<&SagaRoute>, waits: &mut Waits, due: Vec<Due>) -> Vec<(Due, HeldUp)> {
    let Some(route) = route else {
        // No groups can be asked, so none is known to be behind.
        let held_up = |due: &Due| {
            if due.request_unsent {
                HeldUp::Unsent
            } else {
                HeldUp::Not
            }
        };
        return due.into_iter().map(|due| (due, held_up(&due))).collect();
    };
    let is_asked = due.iter().any(|due| !due.request_unsent);
    let seen = if is_asked { route.look().await } else { None };
    waits.judge(route, due, seen.as_ref())
}

/// How many orders a round looks at, if `stay_due` of the last round's can't be handled.
fn reach(wakes_max: u32, stay_due: usize) -> u32 {
    let stay_due = u32::try_from(stay_due).unwrap_or(u32::MAX);
    wakes_max.saturating_add(stay_due.min(wakes_max.saturating_mul(REACH_MAX - 1)))
}

/// Wakes the order. Returns whether it can't be handled until an operator has dealt with it.
async fn wake(orders: &dyn Orders, due: Due, held_up: HeldUp) -> bool {
    let name = format!("deadline {}", due.deadline.0);
    let request = CommandRequest {
        order: due.order,
        id: CommandId(uuid::Uuid::new_v5(&due.order.0, name.as_bytes())),
        keyed: false,
        caller: Caller::Internal("deadline".into()),
        if_match: None,
        command: Command::DeadlineDue {
            deadline: due.deadline,
            held_up,
        },
        traceparent: Some(trace::root()),
    };
    // A quarantined or busy order is tried again in the next round.
    let Err(error) = orders.execute(request).await else {
        return false;
    };
    tracing::debug!(order = %due.order, %error, "deadline not handled yet");
    matches!(error, OrdersError::Quarantined | OrdersError::Broken { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_reaches_past_what_stays_due() {
        let rounds = [0, 3, 500, 1_000_000].map(|stay_due| reach(500, stay_due));
        assert_eq!(rounds, [500, 503, 1_000, 5_000]);
    }
}
