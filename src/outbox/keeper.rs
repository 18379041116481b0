//! One outbox: holds the leases of its lanes, with a worker for each lane held, rings the workers when
//! there may be work, and keeps the gauges.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use trackops_cluster::lease::{Lease, LeaseTiming};

use super::lane::Lane;
use super::message::reason;
use super::relay::{Counters, RelaySettings};
use crate::ports::bus::Bus;
use crate::ports::outbox::Outbox;
use crate::telemetry::names::{OUTBOX_OLDEST_AGE, OUTBOX_PENDING};

/// The least time between two rings: signals come by the hundred a second under load, and an outbox
/// whose `wait` returns at once must not spin.
const RING_EVERY: Duration = Duration::from_millis(5);

/// See the module.
pub(super) struct Keeper {
    pub(super) outbox: Arc<dyn Outbox>,
    pub(super) bus: Arc<dyn Bus>,
    pub(super) settings: RelaySettings,
    pub(super) holder: Arc<str>,
    pub(super) counters: Arc<Counters>,
}

struct Worker {
    stop: CancellationToken,
    task: AbortOnDropHandle<()>,
}

/// What the keeper has of its lanes.
struct Held {
    lease: Lease,
    timing: LeaseTiming,
    workers: HashMap<u16, Worker>,
    /// The last attempt failed, and that was logged.
    failing: bool,
}

impl Keeper {
    pub(super) fn new(
        outbox: Arc<dyn Outbox>,
        bus: Arc<dyn Bus>,
        settings: RelaySettings,
        holder: Arc<str>,
    ) -> Self {
        Self {
            outbox,
            bus,
            settings,
            holder,
            counters: Arc::default(),
        }
    }

    /// Works until `stop`, then ends in good order.
    pub(super) async fn run(self: &Arc<Self>, stop: &CancellationToken) {
        let (bell, rings) = watch::channel(());
        tokio::select! {
            held = self.keep(&rings, stop) => self.end(held).await,
            () = self.ring(bell) => {}
            () = self.measure() => {}
        }
    }

    /// Renews the leases and keeps a worker for each lane, until `stop`.
    async fn keep(self: &Arc<Self>, rings: &watch::Receiver<()>, stop: &CancellationToken) -> Held {
        let length = self.settings.lease;
        let mut held = Held {
            lease: Lease::new(),
            timing: LeaseTiming {
                length,
                renew_every: length / 3,
                margin: length / 5,
            },
            workers: HashMap::new(),
            failing: false,
        };
        let mut ticks = interval(held.timing.renew_every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return held,
                _ = ticks.tick() => {}
            }
            tokio::select! {
                () = stop.cancelled() => return held,
                () = self.renew(&mut held, rings) => {}
            }
        }
    }

    async fn renew(self: &Arc<Self>, held: &mut Held, rings: &watch::Receiver<()>) {
        let sent = Instant::now();
        let length = held.timing.length;
        let asked = timeout(length, self.outbox.lease(&self.holder, length));
        let error = match asked.await {
            Ok(Ok(lanes)) => {
                held.lease.renewed(sent, &held.timing);
                held.failing = false;
                self.staff(held, &lanes, rings);
                *self.counters.lanes.lock() = lanes;
                return;
            }
            Ok(Err(error)) => reason(&error),
            Err(_) => "no answer in time".to_owned(),
        };
        if !std::mem::replace(&mut held.failing, true) {
            tracing::warn!(
                outbox = self.outbox.name(),
                error,
                "lanes could not be leased"
            );
        }
        *self.counters.last_error.lock() = Some(error);
    }

    /// A worker for each of `lanes` and for no other. One that is told to stop ends its wave first;
    /// its lane gets another only after that.
    fn staff(self: &Arc<Self>, held: &mut Held, lanes: &[u16], rings: &watch::Receiver<()>) {
        held.workers.retain(|lane, worker| {
            if !lanes.contains(lane) {
                worker.stop.cancel();
            }
            let ended = worker.task.is_finished();
            if ended && !worker.stop.is_cancelled() {
                tracing::error!(
                    outbox = self.outbox.name(),
                    lane,
                    "lane worker failed, restarted"
                );
            }
            !ended
        });
        for &lane in lanes {
            held.workers.entry(lane).or_insert_with(|| {
                let stop = CancellationToken::new();
                let work = Lane::new(lane, Arc::clone(self), held.lease.clone());
                let task = tokio::spawn(work.run(rings.clone(), stop.clone()));
                Worker {
                    stop,
                    task: AbortOnDropHandle::new(task),
                }
            });
        }
    }

    /// Lets the waves under way end, then gives up the leases.
    async fn end(&self, mut held: Held) {
        for worker in held.workers.values() {
            worker.stop.cancel();
        }
        let ended = async {
            for (_, worker) in held.workers.drain() {
                // A panic was the worker's own end; there is nothing more to do about it.
                let _ = worker.task.await;
            }
        };
        if timeout(self.settings.stop_limit, ended).await.is_err() {
            tracing::warn!(
                outbox = self.outbox.name(),
                "a wave under way did not end in time"
            );
        }
        let released = timeout(self.settings.stop_limit, self.outbox.release(&self.holder)).await;
        if !matches!(released, Ok(Ok(()))) {
            tracing::warn!(
                outbox = self.outbox.name(),
                "leases not given up, they will expire"
            );
        }
        self.counters.lanes.lock().clear();
    }

    /// Rings the workers when the outbox says so, and at the latest after the poll time.
    async fn ring(&self, bell: watch::Sender<()>) {
        loop {
            self.outbox.wait(self.settings.poll).await;
            bell.send_replace(());
            sleep(RING_EVERY).await;
        }
    }

    /// Keeps the gauges.
    async fn measure(&self) {
        let mut ticks = interval(self.settings.stats_every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let outbox = self.outbox.name();
        loop {
            ticks.tick().await;
            // An outbox that can't be asked keeps its last figures; its failure shows elsewhere.
            if let Ok(Ok(stats)) = timeout(self.settings.call_limit, self.outbox.stats()).await {
                let age = stats.oldest_age.unwrap_or_default();
                #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
                metrics::gauge!(OUTBOX_PENDING, "outbox" => outbox).set(stats.pending as f64);
                metrics::gauge!(OUTBOX_OLDEST_AGE, "outbox" => outbox).set(age.as_secs_f64());
            }
        }
    }
}
