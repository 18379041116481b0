//! Remembers failures: how often an order has failed lately, and whether it is quarantined. The supervisor
//! starts the order again; an operator releases it.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use trackops_cluster::backoff::Backoff;
use trackops_domain::ids::OrderId;
use trackops_domain::time::Timestamp;

/// Orders remembered per shard at most; beyond it the oldest records are dropped. A shard in which a thousand
/// orders fail within a minute has another problem.
const RECORDS_MAX: usize = 1_024;

/// The last error is cut to so many characters.
const ERROR_CHARS_MAX: usize = 500;

/// The pauses before all starts but the first, which comes at once. Five failures fit into the window with
/// room to spare.
const RESTART: Backoff = Backoff::exact(Duration::from_millis(100), Duration::from_millis(3_200));

/// What the supervisor does about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureAction {
    /// Start it again after this long.
    Restart(Duration),
    /// Leave the order to an operator.
    Quarantine,
}

/// An order's failures.
#[derive(Clone, Debug)]
pub struct Record {
    times: VecDeque<Instant>,
    /// The text of the last failure.
    pub last_error: String,
    /// When the last failure was, by the wall clock.
    pub last_at: Timestamp,
    /// Whether the order waits for an operator.
    pub quarantined: bool,
}

impl Record {
    /// Failures within the window.
    pub fn count(&self) -> u32 {
        u32::try_from(self.times.len()).unwrap_or(u32::MAX)
    }
}

/// The failures of one shard's orders.
#[derive(Debug)]
pub struct Failures {
    max: usize,
    window: Duration,
    records: Mutex<HashMap<OrderId, Record>>,
}

impl Failures {
    /// Quarantines at `max` failures within `window`.
    pub fn new(max: usize, window: Duration) -> Self {
        Self {
            max,
            window,
            records: Mutex::default(),
        }
    }

    /// Counts a failure.
    pub fn record(&self, order: OrderId, error: &str, now: Timestamp) -> FailureAction {
        let instant = Instant::now();
        let mut records = self.records.lock();
        if records.len() >= RECORDS_MAX && !records.contains_key(&order) {
            make_room(&mut records);
        }
        let record = records.entry(order).or_insert_with(|| Record {
            times: VecDeque::new(),
            last_error: String::new(),
            last_at: now,
            quarantined: false,
        });
        while record
            .times
            .front()
            .is_some_and(|first| instant - *first >= self.window)
        {
            record.times.pop_front();
        }
        record.times.push_back(instant);
        record.last_error = error.chars().take(ERROR_CHARS_MAX).collect();
        record.last_at = now;
        if record.times.len() >= self.max {
            record.quarantined = true;
            return FailureAction::Quarantine;
        }
        FailureAction::Restart(match record.count() {
            1 => Duration::ZERO,
            failures => RESTART.after(failures - 1),
        })
    }

    /// The record of `order`, with the failures of the window.
    pub fn get(&self, order: OrderId) -> Option<Record> {
        let mut record = self.records.lock().get(&order).cloned()?;
        let now = Instant::now();
        record.times.retain(|time| now - *time < self.window);
        Some(record)
    }

    /// How many orders wait for an operator.
    pub fn quarantined(&self) -> usize {
        let records = self.records.lock();
        records.values().filter(|record| record.quarantined).count()
    }

    /// Whether `order` waits for an operator.
    pub fn is_quarantined(&self, order: OrderId) -> bool {
        self.records
            .lock()
            .get(&order)
            .is_some_and(|record| record.quarantined)
    }

    /// Forgets everything.
    pub fn clear_all(&self) {
        self.records.lock().clear();
    }

    /// Forgets the failures of `order`. Returns whether it was quarantined.
    pub fn clear(&self, order: OrderId) -> bool {
        self.records
            .lock()
            .remove(&order)
            .is_some_and(|record| record.quarantined)
    }
}

/// Drops the record whose last failure is longest ago; a quarantined one only if all are.
fn make_room(records: &mut HashMap<OrderId, Record>) {
    let oldest = records
        .iter()
        .min_by_key(|(_, record)| (record.quarantined, record.times.back().copied()))
        .map(|(order, _)| *order);
    if let Some(order) = oldest {
        records.remove(&order);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_fifth_failure_in_a_minute_quarantines() {
        let failures = Failures::new(5, Duration::from_secs(60));
        let order = OrderId(uuid::Uuid::from_u128(1));
        let mut last = Duration::ZERO;
        for round in 0..4 {
            match failures.record(order, "boom", Timestamp(0)) {
                FailureAction::Restart(after) => {
                    assert!(round == 0 || after > last, "backoff grows");
                    last = after;
                }
                FailureAction::Quarantine => panic!("too early"),
            }
            tokio::time::advance(Duration::from_secs(10)).await;
        }
        assert_eq!(
            failures.record(order, "boom", Timestamp(0)),
            FailureAction::Quarantine
        );
        assert!(failures.clear(order));
        assert!(failures.get(order).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn rare_failures_never_quarantine() {
        let failures = Failures::new(5, Duration::from_secs(60));
        for _ in 0..20 {
            let verdict = failures.record(OrderId(uuid::Uuid::from_u128(1)), "boom", Timestamp(0));
            assert!(matches!(verdict, FailureAction::Restart(_)));
            tokio::time::advance(Duration::from_secs(20)).await;
        }
    }
}
