//! Sends batches of rows to the bus and collects their outcomes. Leaves what follows from an outcome to
//! [`super::pipeline`].

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use trackops_domain::invariants::Invariant;

use super::message::{REFUSED, dead_letter, index, message, reason};
use super::ordering::OrderingCheck;
use super::relayed_outbox::RelayedOutbox;
use crate::model::outbox_row::OutboxEntry;
use crate::model::topic::Topic;
use crate::ports::bus::{OutMessage, PublishError, Told};
use crate::telemetry::names::{DEAD_LETTERS, RELAY_PUBLISHED};
use crate::telemetry::repeated::RepeatedLog;
use crate::telemetry::violated;

/// The outbox for which I5 is checked: its versions are the orders' committed events. Inventory's rows
/// answer requests, and requests may overtake each other.
const ORDERS: &str = "orders";

/// Names a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Batch(u64);

/// See the module.
pub(super) struct Sending {
    relayed: Arc<RelayedOutbox>,
    inbox: Arc<Inbox>,
    batches: HashMap<Batch, Sent>,
    begun: u64,
    watch: OrderingCheck,
    failures: RepeatedLog,
}

/// The rows of a batch in flight; `None` once a row's outcome is known.
struct Sent {
    entries: Vec<Option<OutboxEntry>>,
    are_letters: bool,
}

/// Outcomes from the bus that the pipeline has not taken yet. Bounded by the number of fetched rows.
#[derive(Default)]
pub(super) struct Inbox {
    told: Mutex<Vec<(Batch, Vec<Told>)>>,
    changed: Notify,
}

/// The outcomes of some rows.
#[derive(Default)]
pub(super) struct Fates {
    /// Acknowledged, in their topic or among its dead letters.
    pub(super) arrived: Vec<OutboxEntry>,
    /// To be tried again.
    pub(super) came_back: Vec<OutboxEntry>,
    /// The bus will never take them.
    pub(super) refused: Vec<(OutboxEntry, PublishError)>,
}

impl Inbox {
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn put(&self, batch: Batch, told: Vec<Told>) {
        self.told.lock().push((batch, told));
        self.changed.notify_one();
    }
}

impl Sending {
    pub(super) fn new(relayed: &Arc<RelayedOutbox>) -> Self {
        Self {
            relayed: Arc::clone(relayed),
            inbox: Arc::default(),
            batches: HashMap::new(),
            begun: 0,
            watch: OrderingCheck::default(),
            failures: RepeatedLog::new(),
        }
    }

    pub(super) fn inbox(&self) -> Arc<Inbox> {
        Arc::clone(&self.inbox)
    }

    /// Forgets which versions were published, because another relay may have published since.
    pub(super) fn forget_published(&mut self) {
        self.watch.clear();
    }

    /// Sends rows to their topics when the future is polled. The future ends when all outcomes are known.
    pub(super) fn begin(&mut self, entries: Vec<OutboxEntry>) -> BoxFuture<'static, Batch> {
        let source = self.relayed.outbox.name();
        if source == ORDERS {
            self.check_order(&entries);
        }
        let messages = entries.iter().map(|entry| message(entry, source));
        let messages = messages.collect();
        self.send(entries, messages, false)
    }

    /// Sends rows that the bus refuses to the dead letters.
    pub(super) fn begin_letters(
        &mut self,
        refused: Vec<(OutboxEntry, PublishError)>,
    ) -> BoxFuture<'static, Batch> {
        let source = self.relayed.outbox.name();
        let letters = refused
            .iter()
            .map(|(entry, error)| dead_letter(entry, source, error))
            .collect();
        let entries = refused.into_iter().map(|(entry, _)| entry).collect();
        self.send(entries, letters, true)
    }

    fn send(
        &mut self,
        entries: Vec<OutboxEntry>,
        messages: Vec<OutMessage>,
        are_letters: bool,
    ) -> BoxFuture<'static, Batch> {
        self.begun += 1;
        let batch = Batch(self.begun);
        let sent = Sent {
            entries: entries.into_iter().map(Some).collect(),
            are_letters,
        };
        self.batches.insert(batch, sent);
        let (bus, inbox) = (Arc::clone(&self.relayed.bus), self.inbox());
        Box::pin(async move {
            bus.publish_each(messages, &|told| inbox.put(batch, told))
                .await;
            batch
        })
    }

    /// Takes the outcomes that have come since the last call.
    pub(super) fn take_told(&mut self) -> Fates {
        let told = std::mem::take(&mut *self.inbox.told.lock());
        let mut fates = Fates::default();
        let mut published = [0_u64; Topic::ALL.len()];
        for (batch, told) in told {
            let Some(sent) = self.batches.get_mut(&batch) else {
                continue;
            };
            for (at, result) in told {
                let Some(entry) = sent.entries.get_mut(at).and_then(Option::take) else {
                    continue;
                };
                match result {
                    Ok(()) if sent.are_letters => {
                        self.relayed.counters.parked.fetch_add(1, Ordering::Relaxed);
                        let topic = entry.row.topic.as_str();
                        metrics::counter!(DEAD_LETTERS, "topic" => topic, "reason" => REFUSED)
                            .increment(1);
                        fates.arrived.push(entry);
                    }
                    Ok(()) => {
                        published[index(entry.row.topic)] += 1;
                        if self.relayed.outbox.name() == ORDERS {
                            self.watch.published(&entry);
                        }
                        fates.arrived.push(entry);
                    }
                    Err(error @ PublishError::Refused(_)) if !sent.are_letters => {
                        refused(&entry, &error);
                        fates.refused.push((entry, error));
                    }
                    Err(error) => {
                        failed(&self.relayed, &self.failures, &error);
                        fates.came_back.push(entry);
                    }
                }
            }
        }
        self.count(published, &fates);
        fates
    }

    /// Forgets a batch whose future has ended. Returns the rows without an outcome.
    pub(super) fn ended(&mut self, batch: Batch) -> Vec<OutboxEntry> {
        let sent = self.batches.remove(&batch);
        sent.into_iter()
            .flat_map(|sent| sent.entries.into_iter().flatten())
            .collect()
    }

    fn count(&mut self, published: [u64; Topic::ALL.len()], fates: &Fates) {
        for (topic, count) in Topic::ALL.into_iter().zip(published) {
            if count > 0 {
                metrics::counter!(RELAY_PUBLISHED, "topic" => topic.as_str()).increment(count);
                self.relayed
                    .counters
                    .published
                    .fetch_add(count, Ordering::Relaxed);
            }
        }
        if fates.arrived.is_empty() || !fates.came_back.is_empty() {
            return;
        }
        if let Some(outage) = self.failures.recovered(Instant::now()) {
            let (outbox, lasted) = (self.relayed.outbox.name(), outage.lasted);
            tracing::info!(outbox, ?lasted, "the bus takes messages again");
        }
    }

    /// Checks I5 before any row of the batch is sent.
    fn check_order(&self, entries: &[OutboxEntry]) {
        for entry in entries {
            if let Some(highest) = self.watch.overtaken(entry) {
                let (order, version) = (entry.order, entry.row.version);
                violated(
                    Invariant::Outbox,
                    &format!("version {version} of order {order} comes after {highest}"),
                );
            }
        }
    }
}

fn refused(entry: &OutboxEntry, error: &PublishError) {
    let (id, topic, order) = (entry.row.id, entry.row.topic.as_str(), entry.order);
    let error = reason(error);
    tracing::error!(%id, %order, topic, error, "message refused by the bus, sent to the dead letters");
}

fn failed(relayed: &RelayedOutbox, log: &RepeatedLog, error: &PublishError) {
    let text = reason(error);
    if let Some(repeats) = log.failed(Instant::now()) {
        let (outbox, failures) = (relayed.outbox.name(), repeats.count);
        tracing::warn!(
            outbox,
            error = text,
            failures,
            "messages did not reach the bus, to be tried again"
        );
    }
    relayed.counters.failed(text);
}
