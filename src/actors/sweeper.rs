//! Passivation: ends the actors of orders that nobody has touched for a while. A passive order costs
//! nothing but its row.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::shard::Shard;
use crate::telemetry::names;

/// Between two rounds. A round looks at every live order, some 50 ns each.
const EVERY: Duration = Duration::from_secs(1);

/// Runs until `stop` is cancelled.
pub(super) async fn run(shards: Arc<[Arc<Shard>]>, stop: CancellationToken) {
    let Some(context) = shards.first().map(|shard| Arc::clone(&shard.context)) else {
        return;
    };
    let settings = &context.settings;
    let (live_for, final_for) = (
        ticks(settings.passivate_live),
        ticks(settings.passivate_final),
    );
    let mut timer = tokio::time::interval(EVERY);
    // Above the bound the limits are halved each round until it holds.
    let mut pressure = 0_u32;
    loop {
        tokio::select! {
            _ = timer.tick() => {}
            () = stop.cancelled() => return,
        }
        for shard in &*shards {
            shard.sweep(live_for >> pressure, final_for >> pressure);
            tokio::task::yield_now().await;
        }
        let live = context.live.load(Ordering::Relaxed);
        let over = live as usize > settings.actors_max;
        pressure = if over {
            (pressure + 1).min(16)
        } else {
            pressure.saturating_sub(1)
        };
        metrics::gauge!(names::ORDERS_LIVE).set(f64::from(live));
        metrics::gauge!(names::MAILBOX_DEPTH).set(f64::from(context.admission.waiting()));
        #[expect(clippy::cast_precision_loss, reason = "at most 4096 shards")]
        metrics::gauge!(names::SHARDS_OWNED).set(context.ownership.owned().len() as f64);
    }
}

fn ticks(limit: Duration) -> u32 {
    u32::try_from(limit.as_millis() / 100)
        .unwrap_or(u32::MAX)
        .max(1)
}
