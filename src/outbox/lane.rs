//! One lane: fetch, publish in waves, remove what was acknowledged; again at once while there is more.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use trackops_cluster::lease::Lease;
use trackops_domain::invariants::Invariant;

use super::backoff::Backoff;
use super::keeper::Keeper;
use super::message::{REFUSED, dead_letter, index, message, reason};
use super::watch::Watch;
use super::waves::{Wave, Waves};
use crate::codec::topics::Topic;
use crate::faults::{self, points};
use crate::ports::bus::PublishError;
use crate::ports::outbox::{OutboxEntry, OutboxError};
use crate::telemetry::names::{DEAD_LETTERS, RELAY_PUBLISHED};
use crate::telemetry::violated;

/// How far a fetch reaches beyond rows that don't go, in batches: so that an order which can't be
/// published doesn't hold up its lane, within bounded memory.
const REACH_MAX: u32 = 10;
/// Whose versions are the orders' committed events, of which I5 speaks. Inventory answers requests,
/// and those may overtake each other.
const ORDERS: &str = "orders";

/// The worker of a lane.
pub(super) struct Lane {
    number: u16,
    keeper: Arc<Keeper>,
    lease: Lease,
    watch: Watch,
    /// Acknowledged by the bus and still in the outbox. Removed before anything else is fetched.
    unremoved: Vec<i64>,
    /// Rows that did not go in the last pass.
    stuck: u32,
}

/// What a pass over the lane came to.
enum Pass {
    /// As many rows as were asked for, and some went: there may be more.
    More,
    /// All went.
    Some,
    /// There was nothing.
    Nothing,
    /// Some went, some are to be tried again.
    Partly,
    /// Nothing went, or the outbox failed.
    Failed,
}

impl Lane {
    pub(super) fn new(number: u16, keeper: Arc<Keeper>, lease: Lease) -> Self {
        Self {
            number,
            keeper,
            lease,
            watch: Watch::default(),
            unremoved: Vec::new(),
            stuck: 0,
        }
    }

    /// Works until `stop`: a wave under way is finished and its rows are removed.
    pub(super) async fn run(mut self, mut rings: watch::Receiver<()>, stop: CancellationToken) {
        let settings = self.keeper.settings.clone();
        let mut backoff = Backoff::new(settings.backoff_base, settings.backoff_cap);
        while !stop.is_cancelled() {
            // Before it looks: a ring during the pass is seen after it.
            rings.borrow_and_update();
            let began = Instant::now();
            let mut wait = true;
            let until = match self.pass_or_fail(&stop).await {
                Pass::More => {
                    backoff.reset();
                    continue;
                }
                Pass::Some => {
                    backoff.reset();
                    began + settings.pace
                }
                Pass::Nothing => {
                    backoff.reset();
                    began
                }
                Pass::Partly => {
                    backoff.reset();
                    wait = false;
                    Instant::now() + backoff.pause()
                }
                Pass::Failed => {
                    wait = false;
                    Instant::now() + backoff.pause()
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep_until(until) => {}
            }
            if wait {
                tokio::select! {
                    () = stop.cancelled() => return,
                    // By signal or, at the latest, by the bell's own timer; an error is its end.
                    rung = timeout(settings.poll * 2, rings.changed()) => {
                        if matches!(rung, Ok(Err(_))) { return; }
                    }
                }
            }
        }
    }

    async fn pass_or_fail(&mut self, stop: &CancellationToken) -> Pass {
        if !self.lease.holds() {
            // Another may publish from this lane meanwhile.
            self.watch.clear();
            return Pass::Nothing;
        }
        match self.pass(stop).await {
            Ok(pass) => {
                if matches!(pass, Pass::Partly | Pass::Failed) {
                    self.keeper
                        .counters
                        .failures
                        .fetch_add(1, Ordering::Relaxed);
                }
                pass
            }
            Err(error) => {
                self.failed(&error);
                self.keeper
                    .counters
                    .failures
                    .fetch_add(1, Ordering::Relaxed);
                Pass::Failed
            }
        }
    }

    async fn pass(&mut self, stop: &CancellationToken) -> Result<Pass, OutboxError> {
        self.remove().await?;
        let batch = self.keeper.settings.batch;
        let limit = batch.saturating_add(self.stuck.min(batch * (REACH_MAX - 1)));
        let entries = self.fetch(limit).await?;
        let fetched = entries.len();
        if fetched == 0 {
            self.stuck = 0;
            return Ok(Pass::Nothing);
        }
        if faults::hit(points::DELETE_BEFORE_ACK, "") {
            self.unremoved = entries.iter().map(|entry| entry.seq).collect();
            self.remove().await?;
        }
        let mut waves = Waves::new(entries);
        let mut whole = true;
        while let Some(wave) = waves.next() {
            let gone_before = self.unremoved.len();
            whole &= self.publish(&mut waves, &wave).await;
            let none_went = self.unremoved.len() == gone_before;
            if none_went || stop.is_cancelled() || !self.lease.holds() {
                whole = false;
                break;
            }
        }
        let gone = self.unremoved.len();
        // Also where none went: a batch of one topic's rows, which can't go, may stand before all others.
        self.stuck = u32::try_from(fetched.saturating_sub(gone)).unwrap_or(u32::MAX);
        if gone > 0 {
            faults::crash(points::CRASH_AFTER_PUBLISH);
        }
        self.remove().await?;
        Ok(match (gone, whole) {
            (0, _) => Pass::Failed,
            _ if fetched >= limit as usize => Pass::More,
            (_, true) => Pass::Some,
            (_, false) => Pass::Partly,
        })
    }

    /// Publishes a wave; what went, to its topic or to its dead letters, is put with what is to be
    /// removed. Whether all of it went.
    async fn publish(&mut self, waves: &mut Waves, wave: &Wave) -> bool {
        let keeper = Arc::clone(&self.keeper);
        let source = keeper.outbox.name();
        if source == ORDERS {
            self.check_order(wave);
        }
        let messages = wave.entries.iter().map(|entry| message(entry, source));
        let results = keeper.bus.publish(messages.collect()).await;
        let mut published = [0_u64; Topic::ALL.len()];
        let mut refused = Vec::new();
        let mut whole = results.len() == wave.entries.len();
        for (at, entry) in wave.entries.iter().enumerate().skip(results.len()) {
            // A bus that doesn't answer for a message has not taken it.
            tracing::error!(seq = entry.seq, "the bus gave no result for a message");
            waves.stop_order(wave, at);
        }
        for ((at, entry), result) in wave.entries.iter().enumerate().zip(results) {
            match result {
                Ok(()) => {
                    self.unremoved.push(entry.seq);
                    published[index(entry.row.topic)] += 1;
                    if source == ORDERS {
                        self.watch.published(entry);
                    }
                }
                Err(error @ PublishError::Refused(_)) => refused.push((at, entry, error)),
                Err(error) => {
                    if std::mem::replace(&mut whole, false) {
                        self.failed(&error);
                    }
                    waves.stop_order(wave, at);
                }
            }
        }
        for (topic, count) in Topic::ALL.into_iter().zip(published) {
            if count > 0 {
                metrics::counter!(RELAY_PUBLISHED, "topic" => topic.as_str()).increment(count);
                keeper
                    .counters
                    .published
                    .fetch_add(count, Ordering::Relaxed);
            }
        }
        if !refused.is_empty() {
            whole &= self.park(waves, wave, &refused).await;
        }
        whole
    }

    /// Puts messages that the bus will never take with the dead letters. Where that fails too, the row
    /// stays and its order waits.
    async fn park(
        &mut self,
        waves: &mut Waves,
        wave: &Wave,
        refused: &[(usize, &OutboxEntry, PublishError)],
    ) -> bool {
        let keeper = Arc::clone(&self.keeper);
        let source = keeper.outbox.name();
        let letters = refused
            .iter()
            .map(|(_, entry, error)| dead_letter(entry, source, error));
        let mut results = keeper.bus.publish(letters.collect()).await.into_iter();
        let mut whole = true;
        for (at, entry, error) in refused {
            let (id, topic, order) = (entry.row.id, entry.row.topic.as_str(), entry.order);
            let parked = matches!(results.next(), Some(Ok(())));
            let error = reason(error);
            tracing::error!(%id, %order, topic, error, parked, "message refused by the bus");
            if parked {
                self.unremoved.push(entry.seq);
                keeper.counters.parked.fetch_add(1, Ordering::Relaxed);
                metrics::counter!(DEAD_LETTERS, "topic" => topic, "reason" => REFUSED).increment(1);
            } else {
                waves.stop_order(wave, *at);
                whole = false;
            }
        }
        whole
    }

    /// I5: looked at before anything of the wave goes.
    fn check_order(&self, wave: &Wave) {
        for entry in &wave.entries {
            if let Some(highest) = self.watch.overtaken(entry) {
                let (order, version) = (entry.order, entry.row.version);
                violated(
                    Invariant::Outbox,
                    &format!("version {version} of order {order} comes after {highest}"),
                );
            }
        }
    }

    async fn fetch(&self, limit: u32) -> Result<Vec<OutboxEntry>, OutboxError> {
        let fetch = self.keeper.outbox.fetch(self.number, limit);
        let fetched = timeout(self.keeper.settings.call_limit, fetch).await;
        fetched.unwrap_or_else(|late| Err(OutboxError(Box::new(late))))
    }

    async fn remove(&mut self) -> Result<(), OutboxError> {
        if !self.unremoved.is_empty() {
            let remove = self.keeper.outbox.acknowledge(&self.unremoved);
            let removed = timeout(self.keeper.settings.call_limit, remove).await;
            removed.unwrap_or_else(|late| Err(OutboxError(Box::new(late))))?;
            self.unremoved.clear();
        }
        Ok(())
    }

    /// Logs a failure once a pass, and keeps it for operations.
    fn failed(&self, error: &dyn std::error::Error) {
        let text = reason(error);
        let (outbox, lane) = (self.keeper.outbox.name(), self.number);
        tracing::warn!(
            outbox,
            lane,
            error = text,
            "relaying failed, to be tried again"
        );
        *self.keeper.counters.last_error.lock() = Some(text);
    }
}
