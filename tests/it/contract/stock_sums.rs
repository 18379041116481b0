//! Of the stock's suite: what must add up under concurrency and over random sequences.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::collections::BTreeMap;
use std::sync::Arc;

use trackops::ports::stock::{Item, StockOutcome, StockRequest, StockStore};
use trackops_domain::ids::{OrderId, Sku};
use trackops_domain::stock::Reservation;

use super::stock::{NOW, StockFixture, level, new_order, release, reserve, ship, sku, stocked};

use StockOutcome::Applied;

pub async fn concurrent_appliers_never_oversell<F: StockFixture>() {
    let (_fixture, stock) = stocked::<F>(&[("A", 100), ("B", 90)]).await;
    let appliers = (0..16).map(|applier| {
        let stock = Arc::clone(&stock);
        tokio::spawn(async move {
            let mut held = 0_u64;
            for batch in 0..5 {
                // Half of them name the items the other way round: no order of locks may matter.
                let items = [[("A", 1), ("B", 1)], [("B", 1), ("A", 1)]][(applier + batch) % 2];
                let batch: Vec<_> = (0..4).map(|_| reserve(new_order(), &items)).collect();
                let outcomes = stock.apply(&batch, NOW).await.unwrap();
                let is_held = |outcome: &&StockOutcome| **outcome == Applied(Reservation::Held);
                held += outcomes.iter().filter(is_held).count() as u64;
            }
            held
        })
    });
    let mut held = 0;
    for applier in appliers.collect::<Vec<_>>() {
        held += applier.await.unwrap();
    }
    assert_eq!(held, 90, "all of the scarcer item, and not one more");
    assert_eq!(level(&*stock, "A").await, (100, 90));
    assert_eq!(level(&*stock, "B").await, (90, 90));
}

/// A small generator (xorshift64): the same sequence in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// I6 over a random sequence: after every batch what is reserved is what reservations hold, and
/// what is on hand is what was brought less what was shipped.
pub async fn the_stock_adds_up_whatever_comes<F: StockFixture>() {
    let names = ["A", "B", "C", "D"];
    let (_fixture, stock) = stocked::<F>(&names.map(|name| (name, 20))).await;
    let orders: Vec<OrderId> = (0..40).map(|_| new_order()).collect();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut brought: BTreeMap<Sku, u64> = names.iter().map(|name| (sku(name), 20)).collect();
    let mut shipped = BTreeMap::<Sku, u64>::new();
    for _ in 0..60 {
        let batch: Vec<StockRequest> = (0..=random.below(6))
            .map(|_| any_request(&mut random, &orders, &names))
            .collect();
        let outcomes = stock.apply(&batch, NOW).await.unwrap();
        for (request, outcome) in batch.iter().zip(outcomes) {
            if outcome == Applied(Reservation::Shipped) {
                let view = stock.reservation(request.order).await.unwrap().unwrap();
                for (sku, quantity) in view.items {
                    *shipped.entry(sku).or_default() += quantity;
                }
            }
        }
        let refilled = sku(names[usize::try_from(random.below(4)).unwrap()]);
        stock.adjust(&refilled, 1, "refilled", None).await.unwrap();
        *brought.get_mut(&refilled).unwrap() += 1;
        check_sums(&*stock, &orders, &brought, &shipped).await;
    }
    assert!(
        shipped.values().sum::<u64>() > 0,
        "the sequence does something"
    );
}

fn any_request(random: &mut Random, orders: &[OrderId], names: &[&str]) -> StockRequest {
    let mut pick = |limit: usize| usize::try_from(random.below(limit as u64)).unwrap();
    let order = orders[pick(orders.len())];
    match pick(4) {
        0 => release(order),
        1 => ship(order),
        _ => {
            let items: Vec<_> = (0..=pick(3))
                .map(|_| (names[pick(names.len())], 1 + pick(5) as u64))
                .collect();
            reserve(order, &items)
        }
    }
}

async fn check_sums(
    stock: &dyn StockStore,
    orders: &[OrderId],
    brought: &BTreeMap<Sku, u64>,
    shipped: &BTreeMap<Sku, u64>,
) {
    let mut held = BTreeMap::<Sku, u64>::new();
    for order in orders {
        let view = stock.reservation(*order).await.unwrap();
        let items = view.filter(|view| view.state == Reservation::Held);
        for (sku, quantity) in items.map(|view| view.items).unwrap_or_default() {
            *held.entry(sku).or_default() += quantity;
        }
    }
    for (sku, Item { level, .. }) in stock.items(None, 100).await.unwrap() {
        let of = |sums: &BTreeMap<Sku, u64>| sums.get(&sku).copied().unwrap_or(0);
        assert_eq!(level.reserved, of(&held), "{sku}");
        assert_eq!(level.on_hand, of(brought) - of(shipped), "{sku}");
        assert!(level.reserved <= level.on_hand, "{sku}");
    }
}
