//! The inventory role's statements: batches of stock, items, adjustments, and the removal of old rows.

use trackops_domain::ids::{OrderId, Sku};
use trackops_domain::stock::Request;
use trackops_domain::time::Timestamp;
use uuid::Uuid;

use super::orders::pages_of;
use super::{Tables, no_plan_depends_on_statistics};
use crate::ports::stock::{Condition, StockRequest, StockStore as _};
use crate::postgres::{Database, Kind};

/// More than the number at which the planner changes its plan.
const BATCH: usize = 64;

const TABLES: Tables = Tables {
    kind: Kind::Inventory,
    fill: "
        INSERT INTO items (sku, on_hand)
            SELECT 'P' || n, 1000000 FROM generate_series(1, 20000) n ON CONFLICT DO NOTHING;
        INSERT INTO reservations (order_id, state, items, replied_at, updated_at)
            SELECT gen_random_uuid(), CASE WHEN n % 2 = 0 THEN 'RELEASED' ELSE 'SHIPPED' END,
                   '[[\"P1\",1]]', now(), now()
            FROM generate_series(1, 20000) n;
        INSERT INTO stock_adjustments (sku, delta, reason, at, on_hand, reserved, version)
            SELECT 'P' || n % 100, 1, 'found', now(), 1, 0, 1 FROM generate_series(1, 20000) n;
        INSERT INTO stock_keys (key, sku, on_hand, at)
            SELECT n, 'P1', 1, now() FROM generate_series(1, 20000) n;
        INSERT INTO outbox (lane, version, ordinal, at, id, order_id, topic, payload)
            SELECT get_byte(uuid_send(order_id), 15) % 8, 1, 0, now(), order_id, order_id,
                   'INVENTORY_RESERVED', '{}'
            FROM reservations",
    drain: "DELETE FROM outbox",
};

#[tokio::test]
async fn the_inventory_roles_statements() {
    no_plan_depends_on_statistics(&TABLES, async |database| {
        batches(&database).await;
        items(&database).await;
        pages_of(&database, &[0, 1]).await;
    })
    .await;
}

fn requests(orders: &[OrderId], request: &Request) -> Vec<StockRequest> {
    let requests = orders.iter().map(|order| StockRequest {
        order: *order,
        request: request.clone(),
        traceparent: None,
    });
    requests.collect()
}

/// Runs a batch of new orders, the same batch again, and the requests that end them.
async fn batches(database: &Database) {
    let (stock, now) = (database.stock(), Timestamp(1_769_860_800_000));
    for number in 1..=BATCH {
        let sku = Sku::parse(&format!("P{number}")).unwrap();
        let any = Condition::default();
        stock
            .set_on_hand(&sku, 1_000_000, &any, None)
            .await
            .unwrap();
    }
    let orders: Vec<OrderId> = (0..BATCH).map(|_| OrderId(Uuid::now_v7())).collect();
    let wanted = (1..=BATCH).map(|number| (Sku::parse(&format!("P{number}")).unwrap(), 1));
    let reserve = Request::Reserve(wanted.take(10).collect());
    for request in [&reserve, &reserve, &Request::Release, &Request::Ship] {
        stock.apply(&requests(&orders, request), now).await.unwrap();
    }
    assert!(stock.reservation(orders[0]).await.unwrap().is_some());
    stock.replies().await.unwrap();
    stock.ping().await.unwrap();
}

async fn items(database: &Database) {
    let (stock, sku) = (database.stock(), Sku::parse("P1").unwrap());
    let key = Uuid::new_v4().to_string();
    for is_repeated in [false, true] {
        let adjusted = stock.adjust(&sku, 1, "found", Some(&key)).await.unwrap();
        assert_eq!(adjusted.1, is_repeated);
    }
    let any = Condition::default();
    let other = Uuid::new_v4().to_string();
    let set = stock.set_on_hand(&sku, 1_000_000, &any, Some(&other));
    set.await.unwrap();
    for before in [None, Some(10)] {
        stock.adjustments(&sku, before, 50).await.unwrap();
    }
    stock.item(&sku).await.unwrap();
    for after in [None, Some(&sku)] {
        stock.items(after, 50).await.unwrap();
    }
}
