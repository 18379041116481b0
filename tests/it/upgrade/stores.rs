//! Reads all of a database by today's code, and compares it with what the program that left it has shown.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use trackops::codec::view::{self, OrderView};
use trackops::ports::journal::{Journal, ListFilter};
use trackops::ports::outbox::{OUTBOX_LANES, Outbox, OutboxLanePosition, Wanted};
use trackops::ports::stock::StockStore;
use trackops_domain::ids::{OrderId, ShopId, Sku};
use uuid::Uuid;

use super::scenario::SHOP;
use super::shown::{Shown, assert_still_shown};

/// What a program stores.
pub struct Stores {
    pub journal: Arc<dyn Journal>,
    pub outboxes: [Arc<dyn Outbox>; 2],
    pub stock: Arc<dyn StockStore>,
}

impl Stores {
    /// Compares everything with what was shown. Returns how many messages wait, and how many are set aside.
    pub async fn compare(&self, shown: &Shown) -> (usize, u64) {
        self.orders(shown).await;
        self.items(shown).await;
        let mut waiting = 0;
        let mut set_aside = 0;
        for outbox in &self.outboxes {
            let (rows, aside) = messages(&**outbox, shown).await;
            waiting += rows;
            set_aside += aside;
        }
        (waiting, set_aside)
    }

    async fn orders(&self, shown: &Shown) {
        for order in &shown.orders {
            let id = OrderId(order.id());
            let loaded = self.journal.load(&[id]).await.expect("it can be read");
            let loaded = loaded.into_iter().flatten().next().expect("it is there");
            let today = serde_json::to_value(OrderView::of(&loaded, None)).expect("JSON");
            assert_still_shown(&order.view, &today, "view");
            let history = json!({"items": view::history(&loaded)});
            assert_still_shown(&order.history["items"], &history["items"], "history");
            // An id of this kind was made of an idempotency key, and a repeat is known by the body's hash.
            assert_eq!(loaded.body_hash.is_some(), id.0.get_version_num() == 5);
            if order.status() == "PREPARING" {
                assert_eq!(loaded.remembered.len(), 1, "the keyed repeat");
            }
        }
        let filter = ListFilter {
            limit: 200,
            ..ListFilter::default()
        };
        let listed = self.journal.list(&filter).await.expect("all can be read");
        let listed: BTreeSet<Uuid> = listed.iter().map(|order| order.id.0).collect();
        let known = shown
            .orders
            .iter()
            .map(super::shown::ShownOrder::id)
            .collect();
        assert_eq!(listed, known);
        let filter = ListFilter {
            shops: ShopId::parse(SHOP).into_iter().collect(),
            ..filter
        };
        let listed = self.journal.list(&filter).await.expect("all can be read");
        let listed: BTreeSet<Uuid> = listed.iter().map(|order| order.id.0).collect();
        let known = shown.orders.iter();
        let known = known.filter(|order| order.view["shopId"] == SHOP);
        assert_eq!(listed, known.map(super::shown::ShownOrder::id).collect());
    }

    async fn items(&self, shown: &Shown) {
        let items = self.stock.items(None, 200).await.expect("all can be read");
        assert_eq!(items.len(), shown.items.len());
        for (sku, item) in items {
            let shown = &shown.items[sku.as_str()];
            let level = [item.level.on_hand, item.level.reserved].map(Value::from);
            assert_eq!(
                [&shown["onHand"], &shown["reserved"]],
                [&level[0], &level[1]],
                "{sku}"
            );
        }
        for order in &shown.orders {
            let stored = self
                .stock
                .reservation(OrderId(order.id()))
                .await
                .expect("it can be read");
            let Some(stored) = stored else {
                assert_eq!(order.reservation, Value::Null);
                continue;
            };
            assert_eq!(order.reservation["state"], stored.state.as_str());
            let items = stored.items.iter();
            let items: Vec<_> = items
                .map(|(sku, quantity)| json!({"sku": sku.as_str(), "quantity": quantity}))
                .collect();
            assert_still_shown(&order.reservation["items"], &items.into(), "reservation");
        }
        // What is held adds up to what is reserved.
        let pasta = Sku::parse("PASTA").expect("a SKU");
        let held = self
            .stock
            .item(&pasta)
            .await
            .expect("it can be read")
            .expect("it is there");
        assert_eq!(
            held.level.reserved, 3,
            "the cancelled order that still holds its stock"
        );
    }
}

/// Takes every message of `outbox`, as a relay would: how many there are, and how many were set aside.
async fn messages(outbox: &dyn Outbox, shown: &Shown) -> (usize, u64) {
    let ttl = Duration::from_secs(60);
    // The lease of the relay that was killed runs out first.
    let lanes = crate::support::wait::until("all lanes are free", || async {
        let lanes = outbox.lease("today", ttl).await.expect("leased");
        (lanes.len() == usize::from(OUTBOX_LANES)).then_some(lanes)
    })
    .await;
    let wanted = Wanted {
        lanes: lanes.into_iter().map(OutboxLanePosition::start).collect(),
        except: Vec::new(),
        rows_max: 1_000,
        bytes_max: 1 << 20,
    };
    let fetched = outbox.exchange(&[], &wanted).await.expect("fetched");
    for row in &fetched.rows {
        let entry = row.as_ref().expect("every row can be read");
        let body: Value = serde_json::from_slice(&entry.row.payload).expect("JSON");
        let order = body.get("orderId").unwrap_or(&body["id"]);
        assert_eq!(order, &json!(entry.order.0));
        assert!(shown.orders.iter().any(|shown| shown.id() == entry.order.0));
    }
    let stats = outbox.stats().await.expect("counted");
    assert_eq!(stats.pending, fetched.rows.len() as u64);
    (fetched.rows.len(), stats.set_aside)
}
