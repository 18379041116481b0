//! Relays one outbox: renews the leases of its lanes, runs the pipeline over the lanes that it holds, and
//! sets the gauges. Leaves the rows to [`super::pipeline`].

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use trackops_cluster::lease::{Lease, LeaseTiming};

use super::message::reason;
use super::pipeline::Pipeline;
use super::relayed_outbox::RelayedOutbox;
use crate::telemetry::names::{OUTBOX_OLDEST_AGE, OUTBOX_PENDING, OUTBOX_SET_ASIDE};
use crate::telemetry::repeated::RepeatedLog;

/// See the module.
pub(super) struct OutboxRelay {
    pub(super) relayed: Arc<RelayedOutbox>,
}

impl OutboxRelay {
    pub(super) fn new(relayed: RelayedOutbox) -> Self {
        Self {
            relayed: Arc::new(relayed),
        }
    }

    /// Works until `stop`; then waits for the rows in flight and gives up the leases.
    pub(super) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let (lanes, held) = watch::channel(Vec::new());
        let lease = Lease::new();
        let pipeline = Pipeline::new(Arc::clone(&self.relayed), lease.clone(), held);
        tokio::select! {
            () = pipeline.run(stop.clone()) => {}
            () = self.renew(lease, lanes) => {}
            () = self.measure() => {}
            () = self.patience(&stop) => tracing::warn!(
                outbox = self.relayed.outbox.name(),
                "what was on its way did not arrive in time"
            ),
        }
        let released = timeout(
            self.relayed.settings.stop_limit,
            self.relayed.outbox.release(&self.relayed.holder),
        )
        .await;
        if !matches!(released, Ok(Ok(()))) {
            tracing::warn!(
                outbox = self.relayed.outbox.name(),
                "leases not given up, they will expire"
            );
        }
        self.relayed.counters.lanes.lock().clear();
    }

    async fn patience(&self, stop: &CancellationToken) {
        stop.cancelled().await;
        sleep(self.relayed.settings.stop_limit).await;
    }

    /// Renews the leases, and tells the pipeline which lanes are held. Never returns.
    async fn renew(&self, lease: Lease, lanes: watch::Sender<Vec<u16>>) {
        let length = self.relayed.settings.lease;
        let timing = LeaseTiming {
            length,
            renew_every: length / 3,
            margin: length / 5,
        };
        let failures = RepeatedLog::new();
        let mut ticks = interval(timing.renew_every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let sent = Instant::now();
            let asked = timeout(
                length,
                self.relayed.outbox.lease(&self.relayed.holder, length),
            )
            .await;
            let outbox = self.relayed.outbox.name();
            let error = match asked {
                Ok(Ok(held)) => {
                    lease.renewed(sent, &timing);
                    self.relayed.counters.lanes.lock().clone_from(&held);
                    // Sent even if the lanes are the same, because a lease that had run out holds again.
                    lanes.send_replace(held);
                    if let Some(outage) = failures.recovered(Instant::now()) {
                        let lasted = outage.lasted;
                        tracing::info!(outbox, ?lasted, "lanes are leased again");
                    }
                    continue;
                }
                Ok(Err(error)) => reason(&error),
                Err(_) => "no answer in time".to_owned(),
            };
            if let Some(repeats) = failures.failed(Instant::now()) {
                let failures = repeats.count;
                tracing::warn!(outbox, error, failures, "lanes could not be leased");
            }
            self.relayed.counters.failed(error);
        }
    }

    /// Sets the gauges. Never returns.
    async fn measure(&self) {
        let mut ticks = interval(self.relayed.settings.stats_every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let outbox = self.relayed.outbox.name();
        loop {
            ticks.tick().await;
            // If the outbox can't be asked, the gauges keep their last values. Its failure is logged
            // elsewhere.
            if let Ok(Ok(stats)) = timeout(
                self.relayed.settings.call_limit,
                self.relayed.outbox.stats(),
            )
            .await
            {
                let age = stats.oldest_age.unwrap_or_default();
                metrics::gauge!(OUTBOX_PENDING, "outbox" => outbox).set(float(stats.pending));
                metrics::gauge!(OUTBOX_SET_ASIDE, "outbox" => outbox).set(float(stats.set_aside));
                metrics::gauge!(OUTBOX_OLDEST_AGE, "outbox" => outbox).set(age.as_secs_f64());
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
fn float(count: u64) -> f64 {
    count as f64
}
