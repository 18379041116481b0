//! An in-memory journal with the fence and the version check of the real ones, and a script of faults.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use parking_lot::Mutex;
use trackops::codec::stored;
use trackops::model::event_row::EventRow;
use trackops::model::outbox_row::{OutboxEntry, RowId};
use trackops::ports::journal::{
    AppendError, AppendRow, Due, Head, Journal, JournalError, ListFilter, RowOutcome,
};
use trackops::ports::outbox::OUTBOX_LANES;
use trackops_cluster::{Epoch, ShardId};
use trackops_domain::ids::{CommandId, OrderId};
use trackops_domain::order::Order;
use trackops_domain::time::Timestamp;

/// What happens to one append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It works.
    None,
    /// It doesn't happen, and says so.
    Unavailable,
    /// It happens, and the answer is lost.
    AnswerLost,
    /// It doesn't happen, and nobody knows.
    RequestLost,
}

/// What is stored.
#[derive(Default)]
pub struct Stored {
    orders: BTreeMap<OrderId, (ShardId, Head, Vec<EventRow>)>,
    /// Outbox rows, oldest first.
    pub outbox: Vec<OutboxEntry>,
    /// Outbox rows that there have been.
    outbox_rows: i64,
    /// The epochs of the shards.
    pub epochs: BTreeMap<ShardId, i64>,
    script: VecDeque<Fault>,
    /// An append with this order in it is refused as bad.
    pub poison: Option<OrderId>,
    /// A defect on purpose: nothing is fenced.
    pub ignore_epochs: bool,
    /// Rows that were written under an older epoch than their shard's, which is a defect.
    pub unfenced: Vec<(OrderId, i64)>,
    /// Rows of each append that was tried.
    pub batches: Vec<usize>,
    /// Loads fail.
    pub loads_fail: bool,
    /// Loads that were made, by order.
    pub loads: Vec<OrderId>,
}

/// The journal.
#[derive(Clone, Default)]
pub struct MemoryJournal(pub Arc<Mutex<Stored>>, Arc<Held>);

/// Appends that a test keeps waiting.
#[derive(Default)]
struct Held {
    gate: Arc<tokio::sync::RwLock<()>>,
    waiting: AtomicUsize,
}

impl MemoryJournal {
    /// The next appends fare like this; later ones work.
    pub fn script(&self, faults: &[Fault]) {
        self.0.lock().script = faults.iter().copied().collect();
    }

    /// Keeps every append waiting until what is returned is dropped.
    pub fn hold_appends(&self) -> tokio::sync::OwnedRwLockWriteGuard<()> {
        Arc::clone(&self.1.gate)
            .try_write_owned()
            .expect("no append is under way")
    }

    /// How many wait.
    pub fn held_appends(&self) -> usize {
        self.1.waiting.load(Ordering::SeqCst)
    }

    /// Loses the last version of an order, as a database restored from a backup would.
    pub fn lose_last(&self, order: OrderId) {
        let mut stored = self.0.lock();
        let (_, head, events) = stored.orders.get_mut(&order).expect("stored");
        events.pop();
        let last = events.last().expect("at least the placement");
        (head.version, head.status) = (last.version, last.status);
    }

    /// The stored statuses of an order, oldest first.
    pub fn statuses(&self, order: OrderId) -> Vec<&'static str> {
        let stored = self.0.lock();
        stored
            .orders
            .get(&order)
            .map_or_else(Vec::new, |(_, _, events)| {
                events.iter().map(|event| event.status.as_str()).collect()
            })
    }
}

#[async_trait]
impl Journal for MemoryJournal {
    async fn append(&self, rows: &[AppendRow]) -> Result<Vec<RowOutcome>, AppendError> {
        // Others get to queue behind it, as behind a real round trip.
        tokio::task::yield_now().await;
        self.1.waiting.fetch_add(1, Ordering::SeqCst);
        let _open = self.1.gate.read().await;
        self.1.waiting.fetch_sub(1, Ordering::SeqCst);
        let mut stored = self.0.lock();
        stored.batches.push(rows.len());
        let is_bad = |row: &AppendRow| Some(row.order) == stored.poison || holds_nul(row);
        if rows.iter().any(is_bad) {
            return Err(AppendError::BadRow("bad data".into()));
        }
        match stored.script.pop_front().unwrap_or(Fault::None) {
            Fault::None => Ok(rows.iter().map(|row| stored.append(row)).collect()),
            Fault::Unavailable => Err(AppendError::Unavailable("scripted".into())),
            Fault::RequestLost => Err(AppendError::Unknown("scripted".into())),
            Fault::AnswerLost => {
                for row in rows {
                    stored.append(row);
                }
                Err(AppendError::Unknown("scripted".into()))
            }
        }
    }

    async fn announce(&self) -> Result<(), JournalError> {
        Ok(())
    }

    async fn load(&self, orders: &[OrderId]) -> Result<Vec<Option<Order>>, JournalError> {
        let mut stored = self.0.lock();
        stored.loads.extend(orders);
        if stored.loads_fail {
            return Err(JournalError::Unavailable("scripted".into()));
        }
        orders.iter().map(|order| stored.load(*order)).collect()
    }

    async fn list(&self, filter: &ListFilter) -> Result<Vec<Order>, JournalError> {
        let stored = self.0.lock();
        let mut found = stored.matching(filter);
        found.sort_unstable_by_key(|place| std::cmp::Reverse(*place));
        let page = found.iter().take(filter.limit as usize);
        page.filter_map(|(_, order)| stored.load(*order).transpose())
            .collect()
    }

    async fn due(
        &self,
        shards: &[ShardId],
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<Due>, JournalError> {
        let stored = self.0.lock();
        let due = stored
            .orders
            .iter()
            .filter(|(_, (shard, ..))| shards.contains(shard));
        let due = due.filter_map(|(order, (_, head, _))| {
            let deadline = head.deadline.filter(|deadline| *deadline <= now)?;
            let request_unsent = stored.outbox.iter().any(|entry| entry.order == *order);
            Some(Due {
                order: *order,
                deadline,
                status: head.status,
                request_unsent,
            })
        });
        let mut due: Vec<Due> = due.collect();
        due.sort_unstable_by_key(|due| (due.deadline, due.order));
        due.truncate(limit as usize);
        Ok(due)
    }

    async fn ping(&self) -> Result<(), JournalError> {
        Ok(())
    }
}

impl Stored {
    fn append(&mut self, row: &AppendRow) -> RowOutcome {
        let is_current = self
            .epochs
            .get(&row.shard)
            .is_some_and(|epoch| *epoch == row.epoch.0);
        if !is_current && !self.ignore_epochs {
            return RowOutcome::Fenced;
        }
        let found = self.orders.get(&row.order).map(|(_, head, _)| head.version);
        if found != row.expected {
            return RowOutcome::Conflict;
        }
        if !is_current {
            self.unfenced.push((row.order, row.epoch.0));
        }
        let (_, head, events) = self
            .orders
            .entry(row.order)
            .or_insert_with(|| (row.shard, row.head.clone(), Vec::new()));
        *head = row.head.clone();
        events.extend(row.event.clone().map(|event| EventRow {
            epoch: Epoch(row.epoch.0),
            ..event
        }));
        for message in &row.outbox {
            self.outbox_rows += 1;
            self.outbox.push(OutboxEntry {
                row_id: RowId {
                    lane: row.shard.0 % OUTBOX_LANES,
                    seq: self.outbox_rows,
                },
                order: row.order,
                row: message.clone(),
            });
        }
        RowOutcome::Committed
    }

    /// What places the orders of a list, in any order.
    fn matching(&self, filter: &ListFilter) -> Vec<(Timestamp, OrderId)> {
        let orders = self.orders.iter();
        let wanted = orders.filter_map(|(order, (_, head, _))| {
            let place = (head.created_at, *order);
            let is_wanted = (filter.statuses.is_empty() || filter.statuses.contains(&head.status))
                && filter
                    .customer
                    .is_none_or(|customer| customer == head.customer)
                && (filter.shops.is_empty()
                    || head
                        .shop
                        .as_ref()
                        .is_some_and(|shop| filter.shops.contains(shop)))
                && filter.before.is_none_or(|before| place < before);
            is_wanted.then_some(place)
        });
        wanted.collect()
    }

    /// Every order, as it would be loaded, with its events.
    pub fn all(&self) -> Vec<(Order, Vec<EventRow>)> {
        let orders = self.orders.iter().map(|(order, (.., events))| {
            let loaded = self.load(*order).expect("a log that can be read");
            (loaded.expect("it is there"), events.clone())
        });
        orders.collect()
    }

    /// Whether a stored order knows this command.
    pub fn knows(&self, order: OrderId, command: CommandId) -> bool {
        let order = self.load(order).ok().flatten();
        order.is_some_and(|order| order.answered(command).is_some())
    }

    fn load(&self, order: OrderId) -> Result<Option<Order>, JournalError> {
        let Some((_, head, events)) = self.orders.get(&order) else {
            return Ok(None);
        };
        let assembled = stored::assemble(order, &head.saga, head.deadline, events);
        assembled
            .map(Some)
            .map_err(|error| JournalError::Corrupt(error.into()))
    }
}

/// Whether some text of the row has the character U+0000, which no database of ours takes.
fn holds_nul(row: &AppendRow) -> bool {
    let data = row.event.as_ref().and_then(|event| event.data.as_deref());
    [data, Some(&*row.head.saga)]
        .into_iter()
        .flatten()
        .any(escapes_nul)
}

fn escapes_nul(json: &[u8]) -> bool {
    let mut rest = json;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        rest = &rest[at + 1..];
        if rest.starts_with(b"u0000") {
            return true;
        }
        // What is escaped, a backslash perhaps, begins no escape.
        rest = rest.get(1..).unwrap_or_default();
    }
    false
}
