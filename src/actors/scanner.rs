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
use crate::ports::orders::{CommandRequest, Orders};
use crate::telemetry::names;

/// Wakes under way at once: enough to fill a batch of the writer, too few to crowd out clients.
const AT_ONCE: usize = 64;

/// A deadline that has passed by more than this is nobody's delay any more: sixty rounds have seen it.
const STUCK_AFTER: Duration = Duration::from_secs(60);

/// Runs until `stop` is cancelled.
pub(super) async fn run(node: Arc<Node>, journal: Arc<dyn Journal>, stop: CancellationToken) {
    let context = Arc::clone(node.context());
    let mut timer = tokio::time::interval(context.settings.scan_every);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
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
                context.settings.wakes_per_scan_max,
            )
            .await
        {
            Ok(due) => {
                report_stuck(&due, context.clock.now());
                stream::iter(due)
                    .for_each_concurrent(AT_ONCE, |due| wake(&node, due))
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

async fn wake(node: &Node, due: Due) {
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
    if let Err(error) = node.execute(request).await {
        tracing::debug!(order = %due.order, %error, "deadline not handled yet");
    }
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;
    use trackops_domain::ids::OrderId;

    use super::*;

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
