//! The orders' journal: reads, and passing appends to the writer.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row as _, Sqlite};
use trackops_cluster::{Epoch, ShardId};
use trackops_domain::ids::{CommandId, OrderId, Version};
use trackops_domain::order::Order;
use trackops_domain::status::Status;
use trackops_domain::time::Timestamp;
use uuid::Uuid;

use super::append::append;
use super::db::Db;
use super::error::{WriteError, corrupt};
use super::outbox::SqliteOutbox;
use super::shared_clock::SharedClock;
use super::text::{hex, json};
use crate::codec::stored;
use crate::model::event_row::EventRow;
use crate::ports::clock::Clock;
use crate::ports::journal::{
    AppendError, AppendRow, Due, Journal, JournalError, ListFilter, RowOutcome,
};

/// Columns of a log line: of the order first, then of the event.
pub(super) const LOGS: &str = "
    SELECT o.id, o.saga, o.deadline, e.version, e.at, e.by, e.command, e.status, e.data, e.epoch
    FROM orders o JOIN order_events e ON e.order_id = o.id
    WHERE o.id IN (SELECT unhex(value) FROM json_each(?1))
    ORDER BY o.id, e.version";

pub(super) const DUE: &str = "
    SELECT o.id, o.deadline, EXISTS (SELECT 1 FROM outbox x WHERE x.order_id = o.id AND x.owner = 0),
           o.status
    FROM orders o
    WHERE o.deadline <= ?1 AND o.shard IN (SELECT value FROM json_each(?2))
    ORDER BY o.deadline
    LIMIT ?3";

/// The journal on the file.
#[derive(Debug)]
pub(super) struct SqliteJournal {
    db: Arc<Db>,
    outbox: Arc<SqliteOutbox>,
    clock: SharedClock,
}

impl SqliteJournal {
    pub(super) fn new(db: Arc<Db>, outbox: Arc<SqliteOutbox>, clock: Arc<dyn Clock>) -> Self {
        Self {
            db,
            outbox,
            clock: clock.into(),
        }
    }
}

#[async_trait]
impl Journal for SqliteJournal {
    async fn append(&self, rows: &[AppendRow]) -> Result<Vec<RowOutcome>, AppendError> {
        // The rows are cloned because the request must outlive a caller that gives up. A clone shares every
        // payload.
        let rows = rows.to_vec();
        let now = self.clock.now();
        let written = self
            .db
            .writer
            .write(move |conn| async move { append(conn, &rows, now).await }.boxed());
        written.await.map_err(|error| match error {
            WriteError::Refused(_) => AppendError::BadRow(error.into()),
            WriteError::Failed(_) | WriteError::Closed => AppendError::Unavailable(error.into()),
            WriteError::Unknown(_) | WriteError::Lost => AppendError::Unknown(error.into()),
        })
    }

    async fn announce(&self) -> Result<(), JournalError> {
        self.outbox.announce();
        Ok(())
    }

    async fn load(&self, orders: &[OrderId]) -> Result<Vec<Option<Order>>, JournalError> {
        let ids: Vec<String> = orders.iter().map(|order| hex(order.0)).collect();
        let rows = sqlx::query(LOGS)
            .bind(json(&ids))
            .fetch_all(&self.db.reads)
            .await
            .map_err(failed)?;
        let mut found = assemble(rows)?;
        found.sort_by_key(|order| order.id);
        let by_id = |order: &OrderId| {
            let at = found.binary_search_by_key(order, |found| found.id).ok()?;
            Some(found[at].clone())
        };
        Ok(orders.iter().map(by_id).collect())
    }

    async fn list(&self, filter: &ListFilter) -> Result<Vec<Order>, JournalError> {
        let rows = page(filter)
            .build()
            .fetch_all(&self.db.reads)
            .await
            .map_err(failed)?;
        assemble(rows)
    }

    async fn due(
        &self,
        shards: &[ShardId],
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<Due>, JournalError> {
        let shards: Vec<u16> = shards.iter().map(|shard| shard.0).collect();
        let rows = sqlx::query(DUE)
            .bind(now.0)
            .bind(json(&shards))
            .bind(limit)
            .fetch_all(&self.db.reads)
            .await
            .map_err(failed)?;
        rows.iter()
            .map(|row| {
                Ok(Due {
                    order: OrderId(row.try_get(0)?),
                    deadline: Timestamp(row.try_get(1)?),
                    request_unsent: row.try_get(2)?,
                    status: Status::parse(row.try_get(3)?).ok_or_else(|| corrupt("status"))?,
                })
            })
            .collect::<sqlx::Result<_>>()
            .map_err(failed)
    }

    async fn ping(&self) -> Result<(), JournalError> {
        let ping = sqlx::query("SELECT 1").execute(&self.db.reads);
        ping.await.map_err(failed)?;
        let written = self.db.writer.check().await;
        written.map_err(|error| JournalError::Unavailable(error.into()))
    }
}

/// One page of whole logs, newest order first. For several statuses it takes the newest orders of each, then
/// the newest of those, because the index by status gives no order across statuses; the same for each status
/// of each shop. A customer's orders have an index of their own.
pub(super) fn page(filter: &ListFilter) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new(
        "SELECT o.id, o.saga, o.deadline, e.version, e.at, e.by, e.command, e.status, e.data, e.epoch
         FROM (",
    );
    let (shops, statuses) = (filter.wanted_shops(), filter.wanted_statuses());
    let parts = parts(filter, &shops, &statuses);
    if let [part] = &*parts {
        newest(&mut query, filter, part);
    } else {
        for (index, part) in parts.iter().enumerate() {
            query.push(if index == 0 { "" } else { " UNION ALL " });
            query.push("SELECT * FROM (");
            newest(&mut query, filter, part);
            query.push(")");
        }
        query.push(" ORDER BY created_at DESC, id DESC LIMIT ");
        query.push_bind(filter.limit);
    }
    query.push(
        ") o JOIN order_events e ON e.order_id = o.id
         ORDER BY o.created_at DESC, o.id DESC, e.version",
    );
    query
}

/// A part of a page that one index gives in the page's order: orders of these shops with these statuses, where
/// an empty list stands for all.
struct Part<'a> {
    shops: &'a [&'a str],
    statuses: &'a [Status],
}

/// The parts of a page of `filter`, whose wanted shops and statuses are given.
fn parts<'a>(filter: &ListFilter, shops: &'a [&'a str], statuses: &'a [Status]) -> Vec<Part<'a>> {
    let named = if filter.statuses.is_empty() {
        &[]
    } else {
        statuses
    };
    if filter.customer.is_some() || (shops.is_empty() && named.is_empty()) {
        return vec![Part {
            shops,
            statuses: named,
        }];
    }
    let of_shop = |shops: &'a [&'a str]| {
        statuses
            .chunks(1)
            .map(move |statuses| Part { shops, statuses })
    };
    if shops.is_empty() {
        return of_shop(shops).collect();
    }
    shops.chunks(1).flat_map(of_shop).collect()
}

/// The newest orders of `part`. The `+` keeps SQLite from using another index for a customer's orders, which
/// are few.
fn newest(query: &mut QueryBuilder<Sqlite>, filter: &ListFilter, part: &Part<'_>) {
    query.push("SELECT id, saga, deadline, created_at FROM orders WHERE true");
    let sign = if filter.customer.is_some() { "+" } else { "" };
    if let Some(customer) = filter.customer {
        query.push(" AND customer = ").push_bind(customer.0);
    }
    let statuses: Vec<&str> = part.statuses.iter().map(|status| status.as_str()).collect();
    for (column, wanted) in [("shop", part.shops), ("status", &statuses)] {
        if wanted.is_empty() {
            continue;
        }
        query.push(" AND ").push(sign).push(column).push(" IN (");
        let mut values = query.separated(", ");
        for value in wanted {
            values.push_bind((*value).to_owned());
        }
        query.push(")");
    }
    if let Some((at, order)) = filter.before {
        query.push(" AND (created_at, id) < (").push_bind(at.0);
        query.push(", ").push_bind(order.0).push(")");
    }
    query.push(" ORDER BY created_at DESC, id DESC LIMIT ");
    query.push_bind(filter.limit);
}

/// Puts orders together from `rows`, in which the log lines of an order follow each other.
fn assemble(rows: Vec<SqliteRow>) -> Result<Vec<Order>, JournalError> {
    let mut orders = Vec::new();
    let mut log: Vec<EventRow> = Vec::new();
    let mut rows = rows.into_iter().peekable();
    while let Some(row) = rows.next() {
        let id: Uuid = row.try_get(0).map_err(failed)?;
        log.push(event(&row).map_err(failed)?);
        let next: Option<Uuid> = rows
            .peek()
            .map(|row| row.try_get(0))
            .transpose()
            .map_err(failed)?;
        if next == Some(id) {
            continue;
        }
        let saga: &[u8] = row.try_get(1).map_err(failed)?;
        let deadline: Option<i64> = row.try_get(2).map_err(failed)?;
        let order = stored::assemble(OrderId(id), saga, deadline.map(Timestamp), &log);
        orders.push(order.map_err(|error| JournalError::Corrupt(error.into()))?);
        log.clear();
    }
    Ok(orders)
}

fn event(row: &SqliteRow) -> sqlx::Result<EventRow> {
    let data: Option<&[u8]> = row.try_get(8)?;
    Ok(EventRow {
        version: Version(row.try_get(3)?),
        epoch: Epoch(row.try_get(9)?),
        at: Timestamp(row.try_get(4)?),
        by: row.try_get::<&str, _>(5)?.into(),
        command: CommandId(row.try_get(6)?),
        status: Status::parse(row.try_get(7)?).ok_or_else(|| corrupt("unknown status"))?,
        data: data.map(bytes::Bytes::copy_from_slice),
    })
}

fn failed(error: sqlx::Error) -> JournalError {
    match error {
        sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => {
            JournalError::Corrupt(error.into())
        }
        _ => JournalError::Unavailable(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use trackops_domain::ids::{CustomerId, ShopId};

    use super::*;

    #[tokio::test]
    async fn every_list_is_read_by_an_index_in_its_order() {
        let dir = std::env::temp_dir().join(format!("trackops-{}", Uuid::now_v7()));
        let db = Db::open(&dir).await.expect("an empty store");
        let (one, two) = ([Status::Pending], [Status::Pending, Status::Confirmed]);
        let customer = Some(CustomerId(Uuid::nil()));
        let before = Some((Timestamp(0), OrderId(Uuid::nil())));
        let shops = ["north", "south"].map(|name| ShopId::parse(name).expect("visible"));
        for (shops, statuses, customer, index, looks) in [
            (&shops[..0], &one[..0], None, "orders_by_age", 1),
            (&shops[..0], &one[..], None, "orders_by_status", 1),
            (&shops[..0], &two[..], None, "orders_by_status", 2),
            (&shops[..0], &one[..0], customer, "orders_by_customer", 1),
            (&shops[..0], &one[..], customer, "orders_by_customer", 1),
            (&shops[..0], &two[..], customer, "orders_by_customer", 1),
            (&shops[..1], &one[..], None, "orders_by_shop", 1),
            (&shops[..1], &one[..0], None, "orders_by_shop", 7),
            (&shops[..], &two[..], None, "orders_by_shop", 4),
            (&shops[..], &two[..], customer, "orders_by_customer", 1),
        ] {
            let filter = ListFilter {
                statuses: statuses.into(),
                customer,
                shops: shops.into(),
                before,
                limit: 50,
            };
            let asked = format!("EXPLAIN QUERY PLAN {}", page(&filter).into_string());
            let plan = sqlx::query(sqlx::AssertSqlSafe(asked));
            let plan = plan.fetch_all(&db.reads).await.expect("a plan");
            let steps: Vec<String> = plan.iter().map(|row| row.get(3)).collect();
            let by_index = steps.iter().filter(|step| step.contains(index));
            assert_eq!(by_index.count(), looks, "{filter:?}: {steps:#?}");
            let walks = steps.iter().any(|step| step == "SCAN orders");
            assert!(!walks, "{filter:?}: {steps:#?}");
        }
        db.close().await;
        std::fs::remove_dir_all(dir).expect("it is gone");
    }
}
