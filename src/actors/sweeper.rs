//! Passivation: ends the actors of orders that nobody has touched for a while. A passive order costs
//! nothing but its row.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::shard::{Context, Shard};
use crate::telemetry::names;

/// One round over all shards. A round looks at every live order, some 50 ns each.
const ROUND: Duration = Duration::from_secs(1);

/// Runs until `stop` is cancelled. The shards take turns, evenly over a round: ending thousands of
/// actors at one moment would be felt by every command of that moment.
pub(super) async fn run(shards: Arc<[Arc<Shard>]>, stop: CancellationToken) {
    let Some(context) = shards.first().map(|shard| Arc::clone(&shard.context)) else {
        return;
    };
    let settings = &context.settings;
    let (live_for, final_for) = (
        ticks(settings.passivate_live),
        ticks(settings.passivate_final),
    );
    let turns = u32::try_from(shards.len()).unwrap_or(u32::MAX).max(1);
    let mut timer = tokio::time::interval(ROUND / turns);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Above the bound the limits are halved each round until it holds.
    let mut pressure = 0_u32;
    loop {
        for shard in &*shards {
            tokio::select! {
                biased;
                _ = timer.tick() => {}
                () = stop.cancelled() => return,
            }
            // What isn't owned has no actors, and those of a shard that is held end with it.
            if shard.is_open() {
                shard.sweep(live_for >> pressure, final_for >> pressure);
            }
        }
        let live = context.live.load(Ordering::Relaxed);
        let over = live as usize > settings.actors_max;
        pressure = if over {
            (pressure + 1).min(16)
        } else {
            pressure.saturating_sub(1)
        };
        report(&context, &shards);
    }
}

fn report(context: &Context, shards: &[Arc<Shard>]) {
    metrics::gauge!(names::ORDERS_LIVE).set(f64::from(context.live.load(Ordering::Relaxed)));
    metrics::gauge!(names::MAILBOX_DEPTH).set(f64::from(context.admission.waiting()));
    let quarantined: usize = shards.iter().map(|s| s.failures.quarantined()).sum();
    let owned = context.ownership.owned().len();
    #[expect(clippy::cast_precision_loss, reason = "at most thousands of either")]
    {
        metrics::gauge!(names::ACTORS_QUARANTINED).set(quarantined as f64);
        metrics::gauge!(names::SHARDS_OWNED).set(owned as f64);
    }
}

fn ticks(limit: Duration) -> u32 {
    u32::try_from(limit.as_millis() / 100)
        .unwrap_or(u32::MAX)
        .max(1)
}
