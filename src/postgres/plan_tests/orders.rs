//! The order role's statements: appends, loads, pages, deadlines, claims.

use std::time::Duration;

use trackops_cluster::membership::{Membership as _, NodeId};
use trackops_cluster::{Epoch, ShardId};
use trackops_domain::access::Role;
use trackops_domain::ids::{CommandId, CustomerId, OrderId, ShopId, Version};
use trackops_domain::saga::intents;
use trackops_domain::status::Status;
use trackops_domain::time::Timestamp;
use uuid::Uuid;

use super::{Tables, no_plan_depends_on_statistics};
use crate::codec::{messages, samples, stored};
use crate::model::access::{ApiKey, AuditEntry};
use crate::model::event_row::EventRow;
use crate::ports::access::AccessStore as _;
use crate::ports::journal::{AppendRow, Head, Journal as _, ListFilter, RowOutcome};
use crate::ports::retention::{Cursor, Mode, Retention as _};
use crate::postgres::{Database, Kind};

/// More than the number at which the planner changes its plan; a full batch would take too long to explain.
const BATCH: u16 = 64;

const TABLES: Tables = Tables {
    kind: Kind::Orders,
    fill: "
        INSERT INTO orders
            SELECT gen_random_uuid(), gen_random_uuid(), now() - n * interval '1 s', now(),
                   CASE WHEN n % 10 = 0 THEN now() - n * interval '1 s' END, 1, n % 128,
                   CASE WHEN n % 9 = 0 THEN 'PENDING' ELSE 'DELIVERED' END,
                   '{\"v\":1,\"stock\":\"requested\",\"askedAgain\":0}',
                   CASE WHEN n % 2 = 0 THEN 'mitte' END
            FROM generate_series(1, 20000) n;
        INSERT INTO order_events (order_id, command_id, at, epoch, version, status, by, data)
            SELECT id, gen_random_uuid(), created_at, 1, 1, 'PENDING', 'client',
                   '{\"v\":1,\"content\":{\"customerId\":\"7f6c1b52-41f7-4c57-9a0e-2f0d6c1f5a11\",
                     \"currency\":\"EUR\",\"items\":[{\"sku\":\"P\",\"quantity\":1,\"unitPrice\":1}],
                     \"address\":{\"street\":\"a\",\"city\":\"b\",\"postalCode\":\"c\",\"country\":\"DE\"}}}'
            FROM orders ON CONFLICT DO NOTHING;
        INSERT INTO outbox (lane, version, ordinal, at, id, order_id, topic, payload)
            SELECT shard % 8, 1, 0, now(), id, id, 'ORDER_CREATED', '{}' FROM orders;
        INSERT INTO api_keys (id, name, role, salt, mac, created_at, created_by)
            SELECT id::text, 'till', '{\"role\":\"viewer\"}', substring(sha256('') for 16), sha256(''),
                   now(), 'test' FROM orders
            ON CONFLICT DO NOTHING;
        INSERT INTO audit (at, who, action, target, outcome, count)
            SELECT now(), 'operator:ops', 'POST', '/', 'done', 1 FROM orders",
    drain: "DELETE FROM outbox",
};

#[tokio::test]
async fn the_order_roles_statements() {
    no_plan_depends_on_statistics(&TABLES, async |database| {
        let epoch = claim(&database).await;
        appends(&database, epoch).await;
        reads(&database).await;
        access(&database).await;
        pages_of(&database, &[0, 1, 2, 3]).await;
    })
    .await;
}

/// Makes every call to the authority; returns the epoch that every shard has afterwards.
async fn claim(database: &Database) -> Epoch {
    let (membership, lease) = (database.membership(), Duration::from_secs(60));
    let node = NodeId(Uuid::new_v4().to_string());
    let incarnation = membership.join(&node, "here:1", lease).await.unwrap();
    membership.set_draining(&node, false).await.unwrap();
    let view = membership.renew(&node, incarnation, lease).await.unwrap();
    let seen: Vec<(ShardId, Epoch)> = view.shards.iter().map(|s| (s.shard, s.epoch)).collect();
    let claimed = membership.claim(&node, incarnation, &seen).await.unwrap();
    assert_eq!(claimed.len(), seen.len(), "nobody else lives here");
    let all: Vec<ShardId> = claimed.iter().map(|claim| claim.shard).collect();
    let raised = membership.raise_cache_generation(&node, incarnation, &all);
    raised.await.unwrap();
    let epoch = claimed[0].epoch;
    let taken = [(ShardId(0), epoch)];
    let giver = (&node, incarnation);
    let taken = membership.take_over(&node, incarnation, giver, &taken);
    assert_eq!(taken.await.unwrap().len(), 1);
    membership.leave(&node, incarnation).await.unwrap();
    // The epoch of the last claim, which shard 0 has.
    Epoch(epoch.0 + 1)
}

/// Appends a batch of new orders and their next step, then both again, which must be refused.
async fn appends(database: &Database, epoch: Epoch) {
    let journal = database.journal();
    let ids: Vec<OrderId> = (0..BATCH).map(|_| OrderId(Uuid::now_v7())).collect();
    for version in [1, 2] {
        let rows: Vec<AppendRow> = ids
            .iter()
            .zip(0..)
            .map(|(order, n)| row(*order, ShardId(n % 128), epoch, Version(version)))
            .collect();
        for expected in [RowOutcome::Committed, RowOutcome::Conflict] {
            let outcomes = journal.append(&rows).await.unwrap();
            assert!(outcomes.iter().all(|outcome| *outcome == expected));
        }
    }
    let loaded = journal.load(&ids).await.unwrap();
    assert!(loaded.iter().all(Option::is_some));
}

fn row(id: OrderId, shard: ShardId, epoch: Epoch, version: Version) -> AppendRow {
    let (mut order, event) = samples::order(&[]);
    order.id = id;
    let is_first = version == Version::FIRST;
    let status = if is_first {
        Status::Pending
    } else {
        Status::Confirmed
    };
    let (all, event) = (intents(&event), crate::codec::stored::event_row(&event));
    AppendRow {
        order: id,
        shard,
        epoch,
        expected: (!is_first).then_some(Version(version.0 - 1)),
        head: Head {
            version,
            status,
            customer: CustomerId(Uuid::new_v4()),
            shop: order.placed.shop.clone(),
            created_at: order.created_at(),
            updated_at: order.updated_at(),
            deadline: order.saga.deadline,
            saga: stored::saga(&order),
        },
        event: Some(EventRow {
            version,
            status,
            command: CommandId(Uuid::new_v4()),
            data: event.data.filter(|_| is_first),
            ..event
        }),
        outbox: messages::outbox_rows(&order, all, all, None),
    }
}

/// Makes and revokes a key, and keeps that.
async fn access(database: &Database) {
    let store = database.access();
    let now = Timestamp(1_700_000_000_000);
    let key = ApiKey {
        id: Uuid::new_v4().simple().to_string(),
        name: "till".into(),
        role: Role::Viewer,
        salt: [7; 16],
        mac: [9; 32],
        created_at: now,
        created_by: "test".into(),
        expires_at: None,
        revoked_at: None,
    };
    store.create_key(&key).await.unwrap();
    assert_eq!(store.find_key(&key.id).await.unwrap(), Some(key.clone()));
    store.list_keys("5", 200).await.unwrap();
    assert!(store.revoke_key(&key.id, now).await.unwrap());
    assert!(store.revision().await.unwrap() > 1);
    let entry = AuditEntry {
        at: now,
        who: "operator:ops".into(),
        action: "POST".into(),
        target: "/".into(),
        outcome: "done".into(),
        count: 1,
    };
    store
        .append_audit(&vec![entry; BATCH.into()])
        .await
        .unwrap();
    let page = store.list_audit(None, 200).await.unwrap();
    store
        .list_audit(page.last().map(|(number, _)| *number), 200)
        .await
        .unwrap();
}

/// Runs the first page of each walk of the retention; no row is old enough to go.
pub(super) async fn pages_of(database: &Database, walks: &[usize]) {
    let retention = database.retention();
    retention.take_turn(Duration::ZERO).await.unwrap();
    for walk in walks {
        let from = Cursor {
            walk: *walk,
            ..Cursor::default()
        };
        for mode in [Mode::Count, Mode::Remove] {
            retention.page(Timestamp(1), from, 500, mode).await.unwrap();
        }
    }
}

async fn reads(database: &Database) {
    let journal = database.journal();
    journal.announce().await.unwrap();
    let filter = ListFilter {
        limit: 50,
        ..ListFilter::default()
    };
    let newest = journal.list(&filter).await.unwrap();
    let before = newest.last().map(|order| (order.created_at(), order.id));
    let customer = newest.last().map(|order| order.placed.customer);
    let shops: Vec<ShopId> = ["mitte", "nord"]
        .into_iter()
        .filter_map(ShopId::parse)
        .collect();
    for filter in [
        ListFilter {
            before,
            ..filter.clone()
        },
        ListFilter {
            statuses: [Status::Pending].into_iter().collect(),
            ..filter.clone()
        },
        ListFilter {
            customer,
            ..filter.clone()
        },
        ListFilter {
            customer,
            statuses: [Status::Pending].into_iter().collect(),
            before,
            ..filter.clone()
        },
        ListFilter {
            shops: shops.clone(),
            before,
            ..filter.clone()
        },
        ListFilter {
            shops: shops.clone(),
            statuses: [Status::Pending].into_iter().collect(),
            ..filter.clone()
        },
        ListFilter {
            customer,
            shops,
            ..filter
        },
    ] {
        journal.list(&filter).await.unwrap();
    }
    let some: Vec<OrderId> = newest.iter().map(|order| order.id).collect();
    journal.load(&some[..1]).await.unwrap();
    journal.load(&some).await.unwrap();
    let shards: Vec<ShardId> = (0..128).map(ShardId).collect();
    let ever = Timestamp(4_000_000_000_000);
    journal.due(&shards, ever, 100).await.unwrap();
}
