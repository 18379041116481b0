//! What the suites of the orders' database share: a database to test, random orders, and the rows
//! that append them.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use trackops::codec::{messages, stored};
use trackops::model::outbox_row::RowId;
use trackops::ports::clock::{Clock as _, SystemClock};
use trackops::ports::journal::{AppendRow, Head, Journal};
use trackops::ports::outbox::Outbox;
use trackops_cluster::membership::{Claimed, Incarnation, Membership, NodeId};
use trackops_cluster::{Epoch, ShardCount, ShardId, shard_of};
use trackops_domain::command::Origin;
use trackops_domain::decide;
use trackops_domain::event::{Change, OrderEvent};
use trackops_domain::evolve::evolve;
use trackops_domain::ids::{CommandId, CustomerId, OrderId, ShopId, Sku, Version};
use trackops_domain::money::{Amount, Currency};
use trackops_domain::order::Order;
use trackops_domain::placed::{Address, Item, Placed};
use trackops_domain::saga::{Policy, Saga, intents};
use trackops_domain::time::Timestamp;
use uuid::Uuid;

/// A fresh authority over shards, and the journal that fences by its epochs.
#[async_trait]
pub trait ShardsFixture: Send + Sync + Sized + 'static {
    /// Makes one with [`ShardCount::DEFAULT`] shards, all of them nobody's.
    async fn fresh() -> Self;
    /// Its journal.
    fn journal(&self) -> Arc<dyn Journal>;
    /// Its authority over shards.
    fn membership(&self) -> Arc<dyn Membership>;
}

/// A fresh, migrated orders' database and the adapters on it. Dropping it may remove the database.
pub trait OrdersFixture: ShardsFixture {
    /// Its outbox.
    fn outbox(&self) -> Arc<dyn Outbox>;
}

/// A database whose rows another program may change.
#[async_trait]
pub trait StoredFixture: OrdersFixture {
    /// Changes a row of `table` (`outbox` or `outbox_set_aside`), as `UPDATE … SET` says it.
    async fn change(&self, table: &str, row: RowId, change: &str);
}

/// Long enough that no lease ends during a test.
pub const LEASE: Duration = Duration::from_secs(600);

/// A fixture with a node that has joined and owns every shard.
pub struct Owned<F> {
    pub fixture: F,
    pub node: NodeId,
    pub incarnation: Incarnation,
    pub epochs: HashMap<ShardId, Epoch>,
}

impl<F: ShardsFixture> Owned<F> {
    pub async fn fresh() -> Self {
        let fixture = F::fresh().await;
        let node = NodeId("node-a".into());
        let membership = fixture.membership();
        let incarnation = membership
            .join(&node, "127.0.0.1:7080", LEASE)
            .await
            .unwrap();
        let all = seen(&*membership).await;
        let claimed = membership.claim(&node, incarnation, &all).await.unwrap();
        assert_eq!(claimed.len(), all.len(), "every shard is free at first");
        let epochs = claimed.iter().map(|c| (c.shard, c.epoch)).collect();
        Self {
            fixture,
            node,
            incarnation,
            epochs,
        }
    }

    /// Claims `shard` again, as after a lost connection: older epochs are fenced from now on.
    pub async fn claim_again(&self, shard: ShardId) -> Claimed {
        let membership = self.fixture.membership();
        let claimed = membership
            .claim(
                &self.node,
                self.incarnation,
                &[seen_of(&*membership, shard).await],
            )
            .await
            .unwrap();
        assert_eq!(claimed.len(), 1);
        claimed[0]
    }

    /// The row that creates `order`.
    pub fn creation(&self, (order, event): &(Order, OrderEvent)) -> AppendRow {
        self.row(order, None, Some(event))
    }

    /// The row that appends `event`, which made `after` of `before`.
    pub fn step(&self, before: &Order, (after, event): &(Order, OrderEvent)) -> AppendRow {
        self.row(after, Some(before.version()), Some(event))
    }

    /// Any row under the epoch that this node holds.
    pub fn row(
        &self,
        after: &Order,
        expected: Option<Version>,
        event: Option<&OrderEvent>,
    ) -> AppendRow {
        let shard = shard_of(after.id.0.as_bytes(), ShardCount::DEFAULT);
        let wanted = event.map_or(&[][..], intents);
        AppendRow {
            order: after.id,
            shard,
            epoch: self.epochs[&shard],
            expected,
            head: Head {
                version: after.version(),
                status: after.status(),
                customer: after.placed.customer,
                shop: after.placed.shop.clone(),
                created_at: after.created_at(),
                updated_at: after.updated_at(),
                deadline: after.saga.deadline,
                saga: stored::saga(after),
            },
            event: event.map(trackops::codec::stored::event_row),
            outbox: messages::outbox_rows(
                after,
                event.map_or(&[][..], intents),
                wanted,
                Some(&TRACEPARENT.into()),
            ),
        }
    }
}

/// Every shard with its epoch now, ascending.
pub async fn seen(membership: &dyn Membership) -> Vec<(ShardId, Epoch)> {
    let view = membership.view().await.unwrap();
    let shards = view.shards.iter().map(|shard| (shard.shard, shard.epoch));
    shards.collect()
}

/// `shard` with its epoch now.
pub async fn seen_of(membership: &dyn Membership, shard: ShardId) -> (ShardId, Epoch) {
    seen(membership).await[usize::from(shard.0)]
}

/// The trace context of every row of the tests.
pub const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A new order, placed now, and the event that placed it.
pub fn new_order() -> (Order, OrderEvent) {
    new_order_of(CustomerId(Uuid::new_v4()), SystemClock.now())
}

/// A new order of `customer`, placed at `at`.
pub fn new_order_of(customer: CustomerId, at: Timestamp) -> (Order, OrderEvent) {
    new_order_for(customer, None, at)
}

/// A new order of `customer` that `shop` prepares, placed at `at`.
pub fn new_order_for(
    customer: CustomerId,
    shop: Option<ShopId>,
    at: Timestamp,
) -> (Order, OrderEvent) {
    let content = Placed {
        shop,
        ..content(customer)
    };
    let id = OrderId(Uuid::now_v7());
    let keyed = id.0.as_bytes()[15].is_multiple_of(2);
    let event = decide::place(
        id,
        Arc::new(content),
        keyed.then_some([7; 32]),
        Origin {
            command: CommandId(Uuid::new_v4()),
            by: "client".into(),
            now: at,
        },
    );
    let saga = Saga::started(at, &Policy::default());
    (Order::from_placed(&event, saga).unwrap(), event)
}

/// Many new orders.
pub fn new_orders(count: usize) -> Vec<(Order, OrderEvent)> {
    (0..count).map(|_| new_order()).collect()
}

/// The order after `change`, a millisecond later, and the event.
pub fn changed(before: &Order, change: Change) -> (Order, OrderEvent) {
    let event = OrderEvent {
        order: before.id,
        version: before.version().next(),
        at: before.updated_at().plus(Duration::from_millis(1)),
        by: "kitchen \"Ünder\"".into(),
        command: CommandId(Uuid::new_v4()),
        change,
    };
    (evolve(before.clone(), &event), event)
}

/// Content with what tends to break quoting and encoding.
pub fn content(customer: CustomerId) -> Placed {
    let items: Box<[Item]> = [
        ("PIZZA-MARGHERITA", 2, 950),
        ("NULL", 1, 0),
        ("{a,\"b\"}", 3, 7),
    ]
    .into_iter()
    .map(|(sku, quantity, price)| Item {
        sku: Sku::parse(sku).unwrap(),
        quantity,
        unit_price: Amount(price),
    })
    .collect();
    Placed {
        customer,
        currency: Currency::parse("EUR").unwrap(),
        total: Placed::total_of(&items).unwrap(),
        items,
        address: Address {
            street: "Ünter den \"Linden\" 1\\2 {NULL}, 🍕".into(),
            city: "Berlin".into(),
            postal_code: "10117".into(),
            country: "DE".into(),
            lat: Some(52.516_27),
            lon: Some(13.377_7),
            phone: None,
        },
        instructions: Some("ring twice\nthen wait".into()),
        shop: None,
    }
}
