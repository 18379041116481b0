//! Moves the rows of one outbox to the bus, over all lanes that this relay holds. Sending rows and the
//! exchange with the outbox run concurrently: an exchange removes the acknowledged rows and fetches the
//! next ones. Neither waits for the other. Leaves the order of the rows to [`super::fetched_rows`], batches to
//! [`super::sending`], and what happens in an exchange to [`super::exchange`].

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::future::{BoxFuture, OptionFuture};
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use trackops_cluster::lease::Lease;

use super::exchange::{self, Exchanged};
use super::fetched_rows::FetchedRows;
use super::message::reason;
use super::relayed_outbox::RelayedOutbox;
use super::sending::{Batch, Sending};
use crate::faults::{self, points};
use crate::model::outbox_row::{OutboxEntry, RowId};
use crate::ports::outbox::{OutboxError, OutboxLanePosition, Wanted};
use crate::telemetry::repeated::RepeatedLog;
use trackops_cluster::backoff::Backoff;

/// See the module.
pub(super) struct Pipeline {
    relayed: Arc<RelayedOutbox>,
    lease: Lease,
    held: watch::Receiver<Vec<u16>>,
    /// The position from which each held lane is read on.
    positions: Vec<OutboxLanePosition>,
    hand: FetchedRows,
    sending: Sending,
    /// Lanes gained since the exchange in flight began. What it returns about them is outdated.
    taken_up: Vec<u16>,
    /// Acknowledged by the bus, to be removed by the next exchange.
    arrived: Vec<RowId>,
    /// Set when a signal, a timer or the last exchange says that there may be rows.
    may_have_rows: bool,
    /// The earliest time of the next exchange.
    pace: Instant,
    backoff: Backoff,
    failures: RepeatedLog,
    /// When to try next to take back rows that were set aside.
    take_back_at: Instant,
}

impl Pipeline {
    pub(super) fn new(
        relayed: Arc<RelayedOutbox>,
        lease: Lease,
        held: watch::Receiver<Vec<u16>>,
    ) -> Self {
        let settings = &relayed.settings;
        let backoff = Backoff::new(settings.backoff_base, settings.backoff_cap);
        Self {
            sending: Sending::new(&relayed),
            relayed,
            lease,
            held,
            positions: Vec::new(),
            taken_up: Vec::new(),
            hand: FetchedRows::default(),
            arrived: Vec::new(),
            may_have_rows: true,
            pace: Instant::now(),
            backoff,
            failures: RepeatedLog::new(),
            take_back_at: Instant::now(),
        }
    }

    /// Works until `stop`; then waits for the rows in flight and removes those that were acknowledged.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut on_their_way = FuturesUnordered::<BoxFuture<'static, Batch>>::new();
        let mut exchange = OptionFuture::from(None::<BoxFuture<'static, Exchanged>>);
        let mut has_exchange = false;
        let mut signal = self.signal();
        let inbox = self.sending.inbox();
        loop {
            if stop.is_cancelled() {
                if on_their_way.is_empty() && !has_exchange {
                    break;
                }
            } else {
                self.follow_lease();
                on_their_way.extend(self.send());
                if !has_exchange && let Some(begun) = self.begin_exchange() {
                    exchange = Some(begun).into();
                    has_exchange = true;
                }
            }
            let next = if stop.is_cancelled() {
                // Nothing new begins after the stop, so any time will do.
                Instant::now() + self.relayed.settings.poll
            } else {
                self.next_look(has_exchange)
            };
            tokio::select! {
                () = stop.cancelled(), if !stop.is_cancelled() => {}
                () = inbox.changed() => on_their_way.extend(self.take_told(&stop)),
                Some(batch) = on_their_way.next() => {
                    on_their_way.extend(self.take_told(&stop));
                    self.ended(batch);
                }
                Some(exchanged) = &mut exchange, if has_exchange => {
                    has_exchange = false;
                    self.exchanged(exchanged);
                }
                () = &mut signal, if !self.may_have_rows => {
                    self.may_have_rows = true;
                    signal = self.signal();
                }
                changed = self.held.changed() => {
                    if changed.is_err() {
                        // The sender of the lanes is gone: the relay ends.
                        return;
                    }
                }
                () = sleep_until(next) => {}
            }
        }
        let arrived = std::mem::take(&mut self.arrived);
        if arrived.is_empty() {
            return;
        }
        let removed = exchange::begin(&self.relayed, arrived, Wanted::default(), false).await;
        if let Err(error) = removed.result {
            self.exchange_failed(&error);
        }
    }

    /// Ready at a signal of the outbox, or at the end of the poll time.
    fn signal(&self) -> BoxFuture<'static, ()> {
        let (outbox, poll) = (Arc::clone(&self.relayed.outbox), self.relayed.settings.poll);
        Box::pin(async move { outbox.wait(poll).await })
    }

    /// Drops the waiting rows of lanes that another relay may hold now, and starts on the lanes that are
    /// new.
    fn follow_lease(&mut self) {
        let held = if self.lease.holds() {
            self.held.borrow_and_update().clone()
        } else {
            Vec::new()
        };
        let lost: Vec<u16> = self
            .positions
            .iter()
            .map(|position| position.lane)
            .filter(|lane| !held.contains(lane))
            .collect();
        if !lost.is_empty() {
            self.hand.drop_waiting(&lost);
            self.positions
                .retain(|position| !lost.contains(&position.lane));
            self.sending.forget_published();
        }
        for lane in held {
            if self.positions.iter().all(|known| known.lane != lane) {
                self.positions.push(OutboxLanePosition::start(lane));
                self.taken_up.push(lane);
                self.may_have_rows = true;
                self.take_back_at = Instant::now();
            }
        }
    }

    /// Sends the rows that may go now.
    fn send(&mut self) -> Option<BoxFuture<'static, Batch>> {
        let entries = self.hand.take_ready(Instant::now());
        (!entries.is_empty()).then(|| self.sending.begin(entries))
    }

    /// Begins the next exchange, if there are rows to remove or to fetch.
    fn begin_exchange(&mut self) -> Option<BoxFuture<'static, Exchanged>> {
        let settings = &self.relayed.settings;
        let (rows, bytes) = self.hand.size();
        let rows_max = settings
            .rows_max
            .saturating_sub(rows)
            .min(settings.batch_rows);
        let bytes_max = settings
            .bytes_max
            .saturating_sub(bytes)
            .min(settings.batch_bytes);
        let has_room = rows_max > 0 && bytes_max > 0;
        let looks = self.may_have_rows && has_room && !self.positions.is_empty();
        if (!looks && self.arrived.is_empty()) || Instant::now() < self.pace {
            return None;
        }
        let mut wanted = Wanted::default();
        if looks {
            self.may_have_rows = false;
            wanted = Wanted {
                except: self.hand.beyond(&self.positions),
                lanes: self.positions.clone(),
                rows_max: u32::try_from(rows_max).unwrap_or(u32::MAX),
                bytes_max: u32::try_from(bytes_max).unwrap_or(u32::MAX),
            };
        }
        self.pace = Instant::now() + settings.pace;
        let takes_back = looks && self.take_back_at <= Instant::now();
        if takes_back {
            self.take_back_at = Instant::now() + settings.take_back_every;
        }
        self.taken_up.clear();
        let removed = std::mem::take(&mut self.arrived);
        Some(Box::pin(exchange::begin(
            &self.relayed,
            removed,
            wanted,
            takes_back,
        )))
    }

    fn exchanged(&mut self, exchanged: Exchanged) {
        let Exchanged {
            removed,
            lanes,
            result,
        } = exchanged;
        let fetched = match result {
            Ok(fetched) => fetched,
            Err(error) => {
                self.arrived.extend(removed);
                self.may_have_rows |= !lanes.is_empty();
                self.pace = Instant::now() + self.backoff.pause();
                self.exchange_failed(&error);
                return;
            }
        };
        self.backoff.reset();
        if let Some(outage) = self.failures.recovered(Instant::now()) {
            let (outbox, lasted) = (self.relayed.outbox.name(), outage.lasted);
            tracing::info!(outbox, ?lasted, "the outbox answers again");
        }
        if !removed.is_empty() {
            faults::crash(points::CRASH_AFTER_REMOVAL);
        }
        self.hand.removed(&removed);
        // Where there were rows, there are soon more.
        self.may_have_rows |= fetched.has_more || !fetched.rows.is_empty();
        for next in fetched.next {
            if self.taken_up.contains(&next.lane) {
                continue;
            }
            let mut positions = self.positions.iter_mut();
            if let Some(position) = positions.find(|known| known.lane == next.lane) {
                *position = next;
            }
        }
        let is_defective = faults::hit(points::DELETE_BEFORE_ACK, "");
        let mut has_rows = false;
        for entry in fetched.rows.into_iter().flatten() {
            let lane = entry.row_id.lane;
            // A lane that was lost meanwhile belongs to another relay. A lane that came back is read from
            // its start.
            let is_held = self.positions.iter().any(|position| position.lane == lane);
            if is_held && !self.taken_up.contains(&lane) {
                has_rows = true;
                if is_defective {
                    self.arrived.push(entry.row_id);
                }
                self.hand.add(entry);
            }
        }
        if has_rows {
            faults::crash(points::CRASH_AFTER_FETCH);
        }
    }

    fn exchange_failed(&mut self, error: &OutboxError) {
        let text = reason(error);
        if let Some(repeats) = self.failures.failed(Instant::now()) {
            let (outbox, failures) = (self.relayed.outbox.name(), repeats.count);
            tracing::warn!(
                outbox,
                error = text,
                failures,
                "rows could not be fetched or removed, to be tried again"
            );
        }
        self.relayed.counters.failed(text);
    }

    /// Takes in the outcomes of rows in flight. Rows that the bus refuses go to the dead letters.
    fn take_told(&mut self, stop: &CancellationToken) -> Option<BoxFuture<'static, Batch>> {
        let told = self.sending.take_told();
        let before = self.arrived.len();
        for entry in told.arrived {
            self.hand.acknowledged(&entry);
            self.arrived.push(entry.row_id);
        }
        if self.arrived.len() > before {
            faults::crash(points::CRASH_AFTER_PUBLISH);
        }
        self.came_back(told.came_back);
        if told.refused.is_empty() {
            return None;
        }
        if stop.is_cancelled() || !self.lease.holds() {
            let refused = told.refused.into_iter().map(|(entry, _)| entry);
            self.came_back(refused.collect());
            return None;
        }
        Some(self.sending.begin_letters(told.refused))
    }

    /// A batch has ended. Rows without an outcome count as not taken.
    fn ended(&mut self, batch: Batch) {
        let untold = self.sending.ended(batch);
        for entry in &untold {
            tracing::error!(
                seq = entry.row_id.seq,
                "the bus gave no result for a message"
            );
        }
        self.came_back(untold);
    }

    fn came_back(&mut self, entries: Vec<OutboxEntry>) {
        if entries.is_empty() {
            return;
        }
        let settings = &self.relayed.settings;
        let first_pause = Backoff::new(settings.backoff_base, settings.backoff_cap);
        for entry in entries {
            let lane = entry.row_id.lane;
            if self.positions.iter().any(|position| position.lane == lane) {
                self.hand.came_back(entry, &first_pause);
            } else {
                self.hand.let_go(&entry);
            }
        }
    }

    /// The latest time of the next look, if no event comes before.
    fn next_look(&self, has_exchange: bool) -> Instant {
        let mut next = Instant::now() + self.relayed.settings.poll;
        if let Some(due) = self.hand.next_due() {
            next = next.min(due);
        }
        let wants = self.may_have_rows || !self.arrived.is_empty();
        if !has_exchange && wants && self.pace > Instant::now() {
            next = next.min(self.pace);
        }
        next
    }
}
