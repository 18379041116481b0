//! The deadline scanner: one query for all shards of the replica wakes what is due, at a bounded
//! rate. No actor has to stay alive for its timer.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use tokio_util::sync::CancellationToken;
use trackops_domain::command::Command;
use trackops_domain::ids::CommandId;
use trackops_domain::time::Timestamp;

use super::node::Node;
use crate::codec::trace;
use crate::ports::journal::{Due, Journal};
use crate::ports::orders::{CommandRequest, Orders, OrdersError};
use crate::telemetry::names;

/// Wakes under way at once: enough to fill a batch of the writer, too few to crowd out clients.
const AT_ONCE: usize = 64;

/// A round looks at this many times its usual number of orders at most.
const REACH_MAX: u32 = 10;

/// A deadline that has passed by more than this is nobody's delay any more: sixty rounds have seen it.
const STUCK_AFTER: Duration = Duration::from_secs(60);

/// Runs until `stop` is cancelled.
pub(super) async fn run(node: Arc<Node>, journal: Arc<dyn Journal>, stop: CancellationToken) {
    let context = Arc::clone(node.context());
    let mut timer = tokio::time::interval(context.settings.scan_every);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // Orders that stay due whatever is done would fill every round: each reaches past them.
    let mut stuck = 0;
    loop {
        tokio::select! {
            biased;
            _ = timer.tick() => {}
            () = stop.cancelled() => return,
        }
        let owned = context.ownership.open();
        if owned.is_empty() || !context.ownership.lease_holds() {
            // Whoever owns them now counts them.
            report_stuck(&[], context.clock.now());
            continue;
        }
        match journal
            .due(
                &owned,
                context.clock.now(),
                reach(context.settings.wakes_per_scan_max, stuck),
            )
            .await
        {
            Ok(due) => {
                report_stuck(&due, context.clock.now());
                stuck = stream::iter(due)
                    .map(|due| wake(&node, due))
                    .buffer_unordered(AT_ONCE)
                    .filter(|is_stuck| std::future::ready(*is_stuck))
                    .count()
                    .await;
            }
            Err(error) => tracing::warn!(%error, "deadlines can't be looked up"),
        }
    }
}

/// What was due long ago has been woken in every round since, without effect: the order is in
/// quarantine, or what it waits for is away. Counted from what the round has fetched anyway, oldest
/// first, so it ends at the round's bound.
#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
fn report_stuck(due: &[Due], now: Timestamp) {
    let stuck = due
        .iter()
        .filter(|due| now.since(due.deadline) > STUCK_AFTER);
    metrics::gauge!(names::SAGA_STUCK).set(stuck.count() as f64);
}

/// How many orders a round looks at, when `stuck` of the last round's can't be worked on.
fn reach(wakes_max: u32, stuck: usize) -> u32 {
    let stuck = u32::try_from(stuck).unwrap_or(u32::MAX);
    wakes_max.saturating_add(stuck.min(wakes_max.saturating_mul(REACH_MAX - 1)))
}

/// Whether the order can't be worked on until somebody has seen to it.
async fn wake(node: &Node, due: Due) -> bool {
    let name = format!("deadline {}", due.deadline.0);
    let request = CommandRequest {
        order: due.order,
        id: CommandId(uuid::Uuid::new_v5(&due.order.0, name.as_bytes())),
        keyed: false,
        by: "deadline".into(),
        if_match: None,
        command: Command::DeadlineDue {
            deadline: due.deadline,
            request_unsent: due.request_unsent,
        },
        traceparent: Some(trace::root()),
    };
    // A quarantined or busy order is looked at again in the next round.
    let Err(error) = node.execute(request).await else {
        return false;
    };
    tracing::debug!(order = %due.order, %error, "deadline not handled yet");
    matches!(error, OrdersError::Quarantined | OrdersError::Broken { .. })
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;
    use trackops_domain::ids::OrderId;

    use super::*;

    #[test]
    fn a_round_reaches_past_what_is_stuck() {
        let rounds = [0, 3, 500, 1_000_000].map(|stuck| reach(500, stuck));
        assert_eq!(rounds, [500, 503, 1_000, 5_000]);
    }

    #[test]
    fn an_order_is_stuck_a_minute_after_its_deadline() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        let now = Timestamp(1_000_000);
        let due = [120_000, 60_001, 60_000, 0].map(|ago| Due {
            order: OrderId(uuid::Uuid::nil()),
            deadline: Timestamp(now.0 - ago),
            request_unsent: false,
        });
        metrics::with_local_recorder(&recorder, || report_stuck(&due, now));
        let shown = handle.render();
        assert!(shown.contains("trackops_saga_stuck 2"), "{shown}");
        metrics::with_local_recorder(&recorder, || report_stuck(&[], now));
        let shown = handle.render();
        assert!(shown.contains("trackops_saga_stuck 0"), "{shown}");
    }
}
