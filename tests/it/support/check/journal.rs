//! I1, I2 and I4 in the journal's own tables.

use std::collections::{BTreeMap, HashMap};

use sqlx::Row as _;
use trackops_domain::ids::Version;
use trackops_domain::invariants::{Invariant, check_log};
use trackops_domain::status::Status;
use uuid::Uuid;

use super::Violation;
use crate::support::databases::connect;

/// One event.
#[derive(Clone, Debug)]
pub struct EventRow {
    pub version: u32,
    pub status: String,
    pub epoch: i64,
    /// The transaction that wrote it: it tells what was committed before what.
    pub transaction: i64,
}

/// One order's row.
#[derive(Clone, Debug)]
pub struct OrderRow {
    pub version: u32,
    pub status: String,
    pub shard: i16,
}

/// A shard's row.
#[derive(Clone, Debug)]
pub struct ShardRow {
    pub epoch: i64,
    /// The transaction that changed it last: its claim, or something later.
    pub transaction: i64,
}

/// The journal at one moment.
#[derive(Debug, Default)]
pub struct JournalRows {
    pub orders: HashMap<Uuid, OrderRow>,
    pub events: HashMap<Uuid, Vec<EventRow>>,
    pub shards: BTreeMap<i16, ShardRow>,
    /// Messages that wait to be published.
    pub outbox: i64,
}

impl JournalRows {
    /// Reads everything in one snapshot.
    pub async fn read(url: &str) -> Self {
        let mut connection = connect(url).await;
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        sqlx::raw_sql(begin)
            .execute(&mut connection)
            .await
            .expect("begin");
        let mut rows = Self::default();
        let orders = sqlx::query("SELECT id, version, status, shard FROM orders");
        for row in orders
            .fetch_all(&mut connection)
            .await
            .expect("read orders")
        {
            let order = OrderRow {
                version: version(row.get(1)),
                status: row.get(2),
                shard: row.get(3),
            };
            rows.orders.insert(row.get(0), order);
        }
        let events = sqlx::query(
            "SELECT order_id, version, status, epoch, xmin::text::bigint FROM order_events
             ORDER BY order_id, version",
        );
        for row in events
            .fetch_all(&mut connection)
            .await
            .expect("read events")
        {
            let event = EventRow {
                version: version(row.get(1)),
                status: row.get(2),
                epoch: row.get(3),
                transaction: row.get(4),
            };
            rows.events.entry(row.get(0)).or_default().push(event);
        }
        let shards = sqlx::query("SELECT shard, epoch, xmin::text::bigint FROM shards");
        for row in shards
            .fetch_all(&mut connection)
            .await
            .expect("read shards")
        {
            let shard = ShardRow {
                epoch: row.get(1),
                transaction: row.get(2),
            };
            rows.shards.insert(row.get(0), shard);
        }
        let outbox = sqlx::query_scalar("SELECT count(*) FROM outbox");
        rows.outbox = outbox
            .fetch_one(&mut connection)
            .await
            .expect("read the outbox");
        rows
    }

    /// The status of one version of an order, if it was committed.
    pub fn status_at(&self, id: Uuid, at: u32) -> Option<&str> {
        let events = self.events.get(&id)?;
        let event = events.iter().find(|event| event.version == at)?;
        Some(&event.status)
    }
}

fn version(stored: i32) -> u32 {
    u32::try_from(stored).expect("versions are positive")
}

/// What doesn't hold.
pub fn check(rows: &JournalRows) -> Vec<Violation> {
    let mut found = Vec::new();
    for id in rows
        .events
        .keys()
        .filter(|id| !rows.orders.contains_key(id))
    {
        found.push(Violation::new(
            Invariant::OneWriter,
            format!("{id}: events without a row"),
        ));
    }
    for (id, order) in &rows.orders {
        let none = Vec::new();
        let events = rows.events.get(id).unwrap_or(&none);
        let mut violated = |invariant, detail: &str| {
            found.push(Violation::new(
                invariant,
                format!("{id}: {detail}: {order:?} {events:?}"),
            ));
        };
        let log: Vec<(Version, Status)> = events
            .iter()
            .map(|event| (Version(event.version), parse(&event.status)))
            .collect();
        if let Err(invariant) = check_log(&log) {
            violated(invariant, "the log of its versions and statuses");
        }
        let last = events
            .last()
            .map(|last| (last.version, last.status.as_str()));
        if last != Some((order.version, order.status.as_str())) {
            violated(Invariant::OneWriter, "its row isn't its last event");
        }
        if !events.is_sorted_by_key(|event| event.epoch) {
            violated(
                Invariant::Fenced,
                "an event under an older epoch than the one before",
            );
        }
        let Some(shard) = rows.shards.get(&order.shard) else {
            violated(Invariant::Fenced, "no such shard");
            continue;
        };
        for event in events {
            // A claim waits for the appends under older epochs and keeps later ones out. So what an
            // older epoch wrote was written before the shard's row got its present epoch.
            let late = event.epoch < shard.epoch && event.transaction > shard.transaction;
            if event.epoch > shard.epoch || late {
                violated(Invariant::Fenced, &format!("{event:?} in {shard:?}"));
            }
        }
    }
    found
}

fn parse(status: &str) -> Status {
    Status::parse(status).unwrap_or_else(|| panic!("{status} is no status"))
}
