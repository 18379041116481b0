//! The journal of orders: appends on connections of their own, reads and lists on others.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use trackops_cluster::{Epoch, ShardId};
use trackops_domain::ids::{CommandId, OrderId, Version};
use trackops_domain::order::Order;
use trackops_domain::status::Status;
use trackops_domain::time::Timestamp;
use uuid::Uuid;

use super::append;
use super::connections::Connections;
use super::listener;
use super::types::{INFINITY, Json, Millis};
use crate::codec::stored;
use crate::model::event_row::EventRow;
use crate::ports::journal::{
    AppendError, AppendRow, Due, Journal, JournalError, ListFilter, RowOutcome,
};

/// Columns 0 to 2 belong to the order, the others to one event. The rows of an order are together.
///
/// Here and below `OFFSET 0` keeps the planner from beginning with the events: a plan that was made while
/// there were no events would scan all of them for as long as the connection lives.
pub(super) const LOAD: &str = "
    SELECT o.id, o.saga, o.deadline_at,
           e.version, e.at, e.by, e.command_id, e.status, e.data, e.epoch
    FROM orders o
    CROSS JOIN LATERAL (SELECT * FROM order_events WHERE order_id = o.id OFFSET 0) e
    WHERE o.id = ANY ($1::uuid[])
    ORDER BY o.id, e.version";

/// Takes the newest orders of each wanted status, then the newest of those. So one index serves the list of
/// all orders and the list of one status.
pub(super) const LIST: &str = "
    WITH page AS (
        SELECT o.* FROM unnest($1::text[]) AS wanted(status)
        CROSS JOIN LATERAL (
            SELECT id, saga, deadline_at, created_at FROM orders
            WHERE status = wanted.status AND (created_at, id) < ($2, $3)
            ORDER BY created_at DESC, id DESC LIMIT $4
        ) o
        ORDER BY o.created_at DESC, o.id DESC LIMIT $4
    )
    SELECT o.id, o.saga, o.deadline_at,
           e.version, e.at, e.by, e.command_id, e.status, e.data, e.epoch
    FROM page o
    CROSS JOIN LATERAL (SELECT * FROM order_events WHERE order_id = o.id OFFSET 0) e
    ORDER BY o.created_at DESC, o.id DESC, e.version";

/// Takes the newest orders of each wanted shop and status, then the newest of those.
pub(super) const LIST_OF_SHOPS: &str = "
    WITH page AS (
        SELECT s.* FROM unnest($1::text[]) AS wanted(status)
        CROSS JOIN unnest($5::text[]) AS asked(shop)
        CROSS JOIN LATERAL (
            SELECT id, created_at FROM order_shops
            WHERE shop = asked.shop AND status = wanted.status AND (created_at, id) < ($2, $3)
            ORDER BY created_at DESC, id DESC LIMIT $4
        ) s
        ORDER BY s.created_at DESC, s.id DESC LIMIT $4
    )
    SELECT o.id, o.saga, o.deadline_at,
           e.version, e.at, e.by, e.command_id, e.status, e.data, e.epoch
    FROM page p
    CROSS JOIN LATERAL (SELECT id, saga, deadline_at FROM orders WHERE id = p.id OFFSET 0) o
    CROSS JOIN LATERAL (SELECT * FROM order_events WHERE order_id = p.id OFFSET 0) e
    ORDER BY p.created_at DESC, p.id DESC, e.version";

/// `IS TRUE` keeps the planner from using the index by status, which has the orders of all customers. A
/// customer's orders are few, so their shops are looked at one by one.
pub(super) const LIST_OF_CUSTOMER: &str = "
    WITH page AS (
        SELECT id, saga, deadline_at, created_at FROM orders
        WHERE customer_id = $6 AND (status = ANY ($1::text[])) IS TRUE AND (created_at, id) < ($2, $3)
          AND (cardinality($5::text[]) = 0 OR shop = ANY ($5))
        ORDER BY created_at DESC, id DESC LIMIT $4
    )
    SELECT o.id, o.saga, o.deadline_at,
           e.version, e.at, e.by, e.command_id, e.status, e.data, e.epoch
    FROM page o
    CROSS JOIN LATERAL (SELECT * FROM order_events WHERE order_id = o.id OFFSET 0) e
    ORDER BY o.created_at DESC, o.id DESC, e.version";

/// With `EXISTS` the planner might read the whole outbox once instead of looking each order up, and it does
/// if it believes that the outbox is short.
pub(super) const DUE: &str = "
    SELECT o.id, o.deadline_at,
           (SELECT true FROM outbox x WHERE x.order_id = o.id LIMIT 1) IS NOT NULL, o.status
    FROM orders o
    WHERE o.deadline_at <= $2 AND o.shard = ANY ($1::smallint[])
    ORDER BY o.deadline_at LIMIT $3";

/// The orders' journal on PostgreSQL.
#[derive(Clone, Debug)]
pub struct PgJournal {
    appends: Arc<Connections>,
    reads: Arc<Connections>,
    lists: Arc<Connections>,
}

impl PgJournal {
    pub(super) fn new(
        appends: Arc<Connections>,
        reads: Arc<Connections>,
        lists: Arc<Connections>,
    ) -> Self {
        Self {
            appends,
            reads,
            lists,
        }
    }
}

#[async_trait]
impl Journal for PgJournal {
    async fn append(&self, rows: &[AppendRow]) -> Result<Vec<RowOutcome>, AppendError> {
        append::append(&self.appends, rows).await
    }

    async fn announce(&self) -> Result<(), JournalError> {
        Ok(listener::announce(&self.reads).await?)
    }

    async fn load(&self, orders: &[OrderId]) -> Result<Vec<Option<Order>>, JournalError> {
        if orders.is_empty() {
            return Ok(Vec::new());
        }
        let mut ids: Vec<Uuid> = orders.iter().map(|order| order.0).collect();
        ids.sort_unstable();
        ids.dedup();
        let connection = self.reads.take().await?;
        let rows = connection
            .run(async |connection| sqlx::query(LOAD).bind(&ids).fetch_all(connection).await)
            .await?;
        let loaded = assemble(&rows)?;
        let find = |wanted: &OrderId| loaded.iter().find(|order| order.id == *wanted).cloned();
        if orders.len() <= 8 {
            return Ok(orders.iter().map(find).collect());
        }
        let by_id: std::collections::HashMap<_, _> =
            loaded.into_iter().map(|order| (order.id, order)).collect();
        Ok(orders.iter().map(|id| by_id.get(id).cloned()).collect())
    }

    async fn list(&self, filter: &ListFilter) -> Result<Vec<Order>, JournalError> {
        let statuses = filter.wanted_statuses().into_iter();
        let statuses: Vec<&str> = statuses.map(Status::as_str).collect();
        let shops = filter.wanted_shops();
        let (before_at, before_id) = match filter.before {
            Some((at, id)) => (Millis(at), id.0),
            None => (INFINITY, Uuid::max()),
        };
        let page = |sql| {
            sqlx::query(sql)
                .bind(statuses)
                .bind(before_at)
                .bind(before_id)
                .bind(i64::from(filter.limit))
        };
        let query = match filter.customer {
            Some(customer) => page(LIST_OF_CUSTOMER).bind(shops).bind(customer.0),
            None if shops.is_empty() => page(LIST),
            None => page(LIST_OF_SHOPS).bind(shops),
        };
        let connection = self.lists.take().await?;
        let rows = connection
            .run(async move |connection| query.fetch_all(connection).await)
            .await?;
        assemble(&rows)
    }

    async fn due(
        &self,
        shards: &[ShardId],
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<Due>, JournalError> {
        let shards: Vec<i16> = shards.iter().filter_map(|s| s.0.try_into().ok()).collect();
        let connection = self.reads.take().await?;
        let due = connection
            .run(async |connection| {
                sqlx::query_as::<_, (Uuid, Millis, bool, String)>(DUE)
                    .bind(&shards)
                    .bind(Millis(now))
                    .bind(i64::from(limit))
                    .fetch_all(connection)
                    .await
            })
            .await?;
        let due = due
            .into_iter()
            .map(|(order, Millis(deadline), request_unsent, status)| {
                Ok(Due {
                    order: OrderId(order),
                    deadline,
                    status: Status::parse(&status).ok_or_else(|| corrupt("impossible status"))?,
                    request_unsent,
                })
            });
        due.collect()
    }

    async fn ping(&self) -> Result<(), JournalError> {
        let connection = self.reads.take().await?;
        connection
            .run(async |connection| sqlx::query("SELECT 1").execute(connection).await)
            .await?;
        Ok(())
    }
}

fn corrupt(error: impl Into<crate::ports::journal::BoxError>) -> JournalError {
    JournalError::Corrupt(error.into())
}

/// Builds orders from rows, in the rows' order. The rows of an order must be together.
fn assemble(rows: &[PgRow]) -> Result<Vec<Order>, JournalError> {
    let mut orders = Vec::new();
    let mut rest = rows;
    while let Some(first) = rest.first() {
        let id: Uuid = first.try_get(0).map_err(corrupt)?;
        let same = |row: &PgRow| row.try_get::<Uuid, _>(0).is_ok_and(|other| other == id);
        let end = rest.iter().position(|row| !same(row)).unwrap_or(rest.len());
        let (its, others) = rest.split_at(end);
        let saga: Json<'_> = first.try_get(1).map_err(corrupt)?;
        let deadline: Option<Millis> = first.try_get(2).map_err(corrupt)?;
        let events = its.iter().map(event).collect::<Result<Vec<_>, _>>()?;
        let order = stored::assemble(OrderId(id), saga.0, deadline.map(|d| d.0), &events);
        orders.push(order.map_err(corrupt)?);
        rest = others;
    }
    Ok(orders)
}

fn event(row: &PgRow) -> Result<EventRow, JournalError> {
    let version: i32 = row.try_get(3).map_err(corrupt)?;
    let at: Millis = row.try_get(4).map_err(corrupt)?;
    let by: &str = row.try_get(5).map_err(corrupt)?;
    let command: Uuid = row.try_get(6).map_err(corrupt)?;
    let status: &str = row.try_get(7).map_err(corrupt)?;
    let data: Option<Json<'_>> = row.try_get(8).map_err(corrupt)?;
    Ok(EventRow {
        version: Version(u32::try_from(version).map_err(corrupt)?),
        epoch: Epoch(row.try_get(9).map_err(corrupt)?),
        at: at.0,
        by: by.into(),
        command: CommandId(command),
        status: Status::parse(status).ok_or_else(|| corrupt("unknown status"))?,
        data: data.map(|json| Bytes::copy_from_slice(json.0)),
    })
}
