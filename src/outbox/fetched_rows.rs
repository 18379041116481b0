//! The rows that the relay has fetched of an outbox: which may be sent now, which are in flight, and
//! which wait until they are tried again. A row is sent only when every row of a lower version of its
//! order has been acknowledged; the rows of one version go together. No order waits for another. Leaves
//! sending to [`super::sending`].

use std::collections::{BTreeSet, HashMap};

use tokio::time::Instant;
use trackops_cluster::backoff::Backoff;
use trackops_domain::ids::OrderId;

use crate::model::outbox_row::{OutboxEntry, RowId};
use crate::ports::outbox::OutboxLanePosition;

/// See the module.
#[derive(Default)]
pub(super) struct FetchedRows {
    orders: HashMap<OrderId, OrderRows>,
    /// Every row that the outbox may still have: waiting, in flight, or to be removed.
    known: BTreeSet<RowId>,
    /// Orders with rows that may be sent.
    ready: Vec<OrderId>,
    /// Orders with a failed row, by the time at which they are tried again.
    resting: BTreeSet<(Instant, OrderId)>,
    payload_bytes: usize,
}

#[derive(Default)]
struct OrderRows {
    /// The rows to be sent, the lowest version last.
    waiting: Vec<OutboxEntry>,
    on_their_way: usize,
    /// Set while the order rests after a failure: until when.
    rests_until: Option<Instant>,
    /// The pauses of the failures since a row of the order last succeeded.
    backoff: Option<Backoff>,
    /// One of the rows in flight came back.
    has_failed: bool,
}

impl FetchedRows {
    /// The number of rows, and the bytes of their payloads.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.known.len(), self.payload_bytes)
    }

    /// Adds a fetched row, unless it is known.
    pub(super) fn add(&mut self, entry: OutboxEntry) {
        if !self.known.insert(entry.row_id) {
            return;
        }
        self.payload_bytes += entry.row.payload.len();
        let order = entry.order;
        let rows = self.orders.entry(order).or_default();
        let was_idle = rows.waiting.is_empty() && rows.on_their_way == 0;
        rows.put(entry);
        if was_idle {
            self.ready.push(order);
        }
    }

    /// Takes the rows that may be sent now.
    pub(super) fn take_ready(&mut self, now: Instant) -> Vec<OutboxEntry> {
        while let Some(&(due, order)) = self.resting.first() {
            if due > now {
                break;
            }
            self.resting.pop_first();
            if let Some(rows) = self.orders.get_mut(&order) {
                rows.rests_until = None;
                self.ready.push(order);
            }
        }
        let mut taken = Vec::new();
        for order in self.ready.drain(..) {
            if let Some(rows) = self.orders.get_mut(&order) {
                rows.take_version(&mut taken);
            }
        }
        taken
    }

    /// When the next order is tried again.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.resting.first().map(|(due, _)| *due)
    }

    /// Notes that the bus has acknowledged a row. The row stays known until it is removed from the
    /// outbox.
    pub(super) fn acknowledged(&mut self, entry: &OutboxEntry) {
        self.payload_bytes -= entry.row.payload.len();
        if let Some(rows) = self.orders.get_mut(&entry.order)
            && !rows.has_failed
        {
            rows.backoff = None;
        }
        self.told(entry.order);
    }

    /// Notes that the bus has not taken a row. It is tried again after a pause of its order.
    pub(super) fn came_back(&mut self, entry: OutboxEntry, first_pause: &Backoff) {
        let order = entry.order;
        if let Some(rows) = self.orders.get_mut(&order) {
            rows.put(entry);
            rows.has_failed = true;
            rows.backoff.get_or_insert_with(|| first_pause.clone());
        }
        self.told(order);
    }

    /// Forgets a row that came back after its lane was lost.
    pub(super) fn let_go(&mut self, entry: &OutboxEntry) {
        self.payload_bytes -= entry.row.payload.len();
        self.known.remove(&entry.row_id);
        self.told(entry.order);
    }

    /// The outcome of a row in flight is known: lets the order go on if no other row of it is in flight.
    fn told(&mut self, order: OrderId) {
        let Some(rows) = self.orders.get_mut(&order) else {
            return;
        };
        rows.on_their_way -= 1;
        if rows.on_their_way > 0 {
            return;
        }
        if rows.waiting.is_empty() {
            self.orders.remove(&order);
        } else if std::mem::take(&mut rows.has_failed)
            && let Some(backoff) = &mut rows.backoff
        {
            let due = Instant::now() + backoff.pause();
            rows.rests_until = Some(due);
            self.resting.insert((due, order));
        } else {
            self.ready.push(order);
        }
    }

    /// Forgets rows that have been removed from the outbox.
    pub(super) fn removed(&mut self, rows: &[RowId]) {
        for row in rows {
            self.known.remove(row);
        }
    }

    /// Forgets the rows of `lanes` that are not in flight.
    pub(super) fn drop_waiting(&mut self, lanes: &[u16]) {
        let (known, resting) = (&mut self.known, &mut self.resting);
        let bytes = &mut self.payload_bytes;
        self.orders.retain(|order, rows| {
            let is_lost = |entry: &OutboxEntry| lanes.contains(&entry.row_id.lane);
            if rows.waiting.first().is_some_and(is_lost) {
                for entry in rows.waiting.drain(..) {
                    known.remove(&entry.row_id);
                    *bytes -= entry.row.payload.len();
                }
                if let Some(due) = rows.rests_until.take() {
                    resting.remove(&(due, *order));
                }
            }
            rows.on_their_way > 0 || !rows.waiting.is_empty()
        });
    }

    /// The known rows beyond these positions.
    pub(super) fn beyond(&self, positions: &[OutboxLanePosition]) -> Vec<RowId> {
        let mut rows = Vec::new();
        for &OutboxLanePosition { lane, after } in positions {
            let of_lane = RowId { lane, seq: after }..=RowId {
                lane,
                seq: i64::MAX,
            };
            rows.extend(self.known.range(of_lane).filter(|row| row.seq > after));
        }
        rows
    }
}

impl OrderRows {
    fn put(&mut self, entry: OutboxEntry) {
        let place = |entry: &OutboxEntry| (entry.row.version, entry.row.ordinal, entry.row_id.seq);
        let key = place(&entry);
        let at = self.waiting.partition_point(|other| place(other) > key);
        self.waiting.insert(at, entry);
    }

    /// Moves the rows of the lowest version to `taken`, unless rows of the order are in flight or the
    /// order rests.
    fn take_version(&mut self, taken: &mut Vec<OutboxEntry>) {
        if self.on_their_way > 0 || self.rests_until.is_some() {
            return;
        }
        let Some(version) = self.waiting.last().map(|entry| entry.row.version) else {
            return;
        };
        while let Some(entry) = self.waiting.pop_if(|entry| entry.row.version == version) {
            self.on_their_way += 1;
            taken.push(entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use tokio::time::advance;
    use trackops_domain::ids::MessageId;
    use trackops_domain::time::Timestamp;
    use uuid::Uuid;

    use super::*;
    use crate::model::outbox_row::OutboxRow;
    use crate::model::topic::Topic;

    fn order(number: u128) -> OrderId {
        OrderId(Uuid::from_u128(number))
    }

    fn row(of: u128, seq: i64, version: u32, ordinal: u16) -> OutboxEntry {
        let lane = u16::try_from(of % 8).expect("below 8");
        OutboxEntry {
            row_id: RowId { lane, seq },
            order: order(of),
            row: OutboxRow {
                id: MessageId(Uuid::nil()),
                topic: Topic::OrderCreated,
                version,
                ordinal,
                at: Timestamp(0),
                payload: Bytes::from_static(b"{}"),
                traceparent: None,
            },
        }
    }

    fn backoff() -> Backoff {
        Backoff::new(Duration::from_millis(100), Duration::from_secs(5))
    }

    fn seqs(entries: &[OutboxEntry]) -> Vec<i64> {
        entries.iter().map(|entry| entry.row_id.seq).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_version_goes_when_the_one_before_has_arrived() {
        let mut hand = FetchedRows::default();
        for entry in [
            row(1, 4, 2, 1),
            row(1, 3, 2, 0),
            row(1, 1, 1, 0),
            row(2, 2, 1, 0),
        ] {
            hand.add(entry.clone());
            hand.add(entry);
        }
        assert_eq!(hand.size(), (4, 8), "what is known isn't added again");
        let first = hand.take_ready(Instant::now());
        assert_eq!(seqs(&first), [1, 2]);
        assert!(hand.take_ready(Instant::now()).is_empty());
        hand.acknowledged(&first[0]);
        let second = hand.take_ready(Instant::now());
        assert_eq!(seqs(&second), [3, 4], "the rows of one version go together");
        // A later version waits for both, even if it is added while they are in flight.
        hand.add(row(1, 9, 3, 0));
        hand.acknowledged(&second[1]);
        assert!(hand.take_ready(Instant::now()).is_empty());
        hand.acknowledged(&second[0]);
        assert_eq!(seqs(&hand.take_ready(Instant::now())), [9]);
        assert_eq!(hand.size().0, 5, "known until they are removed");
        hand.removed(&[first[0].row_id]);
        assert_eq!(hand.size().0, 4);
    }

    #[tokio::test(start_paused = true)]
    async fn what_came_back_is_tried_again_after_ever_longer_pauses() {
        let mut hand = FetchedRows::default();
        hand.add(row(1, 1, 1, 0));
        hand.add(row(1, 2, 1, 1));
        hand.add(row(1, 3, 2, 0));
        let mut sent = hand.take_ready(Instant::now());
        let failing = sent.remove(0);
        hand.came_back(failing, &backoff());
        assert_eq!(hand.next_due(), None, "the other is still on its way");
        hand.acknowledged(&sent[0]);
        let mut pauses = Vec::new();
        for _ in 0..9 {
            let due = hand.next_due().expect("a pause");
            pauses.push(due - Instant::now());
            assert!(hand.take_ready(Instant::now()).is_empty());
            advance(due - Instant::now()).await;
            let again = hand.take_ready(Instant::now()).remove(0);
            assert_eq!(again.row_id.seq, 1, "only what failed, and nothing later");
            hand.came_back(again, &backoff());
        }
        assert!(pauses[0] <= Duration::from_millis(100), "{pauses:?}");
        assert!(pauses[8] >= Duration::from_millis(2500), "{pauses:?}");
        advance(Duration::from_secs(5)).await;
        let again = hand.take_ready(Instant::now());
        hand.acknowledged(&again[0]);
        assert_eq!(seqs(&hand.take_ready(Instant::now())), [3]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_lane_is_let_go_but_for_what_is_on_its_way() {
        let mut hand = FetchedRows::default();
        for entry in [
            row(1, 1, 1, 0),
            row(1, 5, 2, 0),
            row(2, 2, 1, 0),
            row(9, 3, 1, 0),
        ] {
            hand.add(entry);
        }
        let sent = hand.take_ready(Instant::now());
        assert_eq!(seqs(&sent), [1, 2, 3]);
        hand.came_back(sent[2].clone(), &backoff());
        hand.drop_waiting(&[1]);
        assert_eq!(hand.next_due(), None, "order 9 is of lane 1 too");
        let known = hand.beyond(&[
            OutboxLanePosition::start(1),
            OutboxLanePosition { lane: 2, after: 2 },
        ]);
        assert_eq!(known, [sent[0].row_id]);
        hand.let_go(&sent[0]);
        hand.acknowledged(&sent[1]);
        hand.removed(&[sent[1].row_id]);
        assert_eq!(hand.size(), (0, 0));
        assert!(
            hand.take_ready(Instant::now() + Duration::from_secs(9))
                .is_empty()
        );
    }
}
