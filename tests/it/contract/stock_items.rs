//! The part of the stock suite that is about items as clients change them.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::collections::BTreeSet;

use trackops::ports::stock::StockError::{self, Refused};
use trackops::ports::stock::{Condition, Versions, WriteRefused};
use trackops_domain::ids::Sku;
use trackops_domain::stock::{Level, RestockRefused};

use super::stock::{NOW, StockFixture, apply, level, new_order, reserve, set, ship, sku, stocked};

pub async fn on_hand_is_never_below_reserved<F: StockFixture>() {
    let (_fixture, stock) = stocked::<F>(&[("A", 5)]).await;
    apply(&*stock, reserve(new_order(), &[("A", 4)]), NOW).await;
    let is_refused = |refused: Option<StockError>| {
        let why = RestockRefused::BelowReserved { reserved: 4 }.into();
        matches!(refused, Some(Refused(refused)) if refused == why)
    };
    assert!(is_refused(set(&*stock, "A", 3, Some("key")).await.err()));
    for delta in [-2, -100] {
        let adjusted = stock.adjust(&sku("A"), delta, "theft", Some("key")).await;
        assert!(is_refused(adjusted.err()));
    }
    assert_eq!(level(&*stock, "A").await, (5, 4));
    let (item, known) = set(&*stock, "A", 4, Some("key")).await.unwrap();
    let set = item.level;
    assert_eq!((set.on_hand, set.reserved, set.available()), (4, 4, 0));
    assert!(!known, "only a success is remembered");
    let more = stock.adjust(&sku("A"), i64::MAX, "much", None).await;
    let why = RestockRefused::TooMany.into();
    assert!(matches!(more, Err(Refused(refused)) if refused == why));
}

pub async fn a_known_key_changes_nothing<F: StockFixture>() {
    let (_fixture, stock) = stocked::<F>(&[("A", 3)]).await;
    apply(&*stock, reserve(new_order(), &[("A", 2)]), NOW).await;
    let first = set(&*stock, "A", 5, Some("k1")).await.unwrap();
    let level_then = Level {
        on_hand: 5,
        reserved: 2,
    };
    assert_eq!((first.0.level, first.1), (level_then, false));
    apply(&*stock, reserve(new_order(), &[("A", 1)]), NOW).await;
    set(&*stock, "A", 7, Some("k2")).await.unwrap();
    // The first call again, its answer having been lost: it is answered as it was, and what was set and
    // reserved since stays.
    let again = set(&*stock, "A", 5, Some("k1")).await.unwrap();
    assert_eq!(again, (first.0, true));
    assert_eq!(level(&*stock, "A").await, (7, 3));
    // The key stands for that item and quantity, and for no other.
    for (other, on_hand) in [("A", 6), ("B", 5)] {
        let refused = set(&*stock, other, on_hand, Some("k1")).await;
        assert!(
            matches!(refused, Err(Refused(WriteRefused::KeyReused))),
            "{refused:?}"
        );
    }
    assert_eq!(stock.item(&sku("B")).await.unwrap(), None);
    assert_eq!(level(&*stock, "A").await, (7, 3));
    let (_, known) = set(&*stock, "A", 5, None).await.unwrap();
    assert!(!known);
    assert_eq!(level(&*stock, "A").await, (5, 3));
}

pub async fn a_condition_is_kept<F: StockFixture>() {
    let (_fixture, stock) = stocked::<F>(&[("A", 3)]).await;
    let one_of = |versions: &[u64]| Some(Versions::OneOf(versions.to_vec()));
    let any = || Some(Versions::Any);
    let refused = [
        ("A", one_of(&[2, 3]), None, Some(1)),
        ("A", one_of(&[]), None, Some(1)),
        ("A", None, any(), Some(1)),
        ("A", None, one_of(&[7, 1]), Some(1)),
        ("A", any(), one_of(&[1]), Some(1)),
        ("B", any(), None, None),
        ("B", one_of(&[1]), None, None),
    ];
    for (name, if_match, if_none_match, found) in refused {
        let condition = Condition {
            if_match,
            if_none_match,
        };
        let set = stock
            .set_on_hand(&sku(name), 9, &condition, Some("k"))
            .await;
        let is_refused = matches!(set, Err(Refused(WriteRefused::PreconditionFailed { current })) if current == found);
        assert!(is_refused, "{name} {condition:?}: {set:?}");
    }
    assert_eq!(level(&*stock, "A").await, (3, 0));
    let allowed = [
        ("A", one_of(&[5, 1]), None, 2),
        ("A", any(), one_of(&[1]), 3),
        ("B", None, any(), 1),
        ("C", None, one_of(&[1]), 1),
    ];
    for (on_hand, (name, if_match, if_none_match, version)) in (10..).zip(allowed) {
        let condition = Condition {
            if_match,
            if_none_match,
        };
        let set = stock
            .set_on_hand(&sku(name), on_hand, &condition, None)
            .await;
        assert_eq!(set.unwrap().0.version, version, "{name} {condition:?}");
    }
    // Two that saw the same version: one of them is told.
    let seen = Condition {
        if_match: one_of(&[3]),
        if_none_match: None,
    };
    let name = sku("A");
    let both = tokio::join!(
        stock.set_on_hand(&name, 20, &seen, None),
        stock.set_on_hand(&name, 21, &seen, None)
    );
    assert_ne!(both.0.is_ok(), both.1.is_ok(), "{both:?}");
}

pub async fn every_change_raises_the_version<F: StockFixture>() {
    let (_fixture, stock) = stocked::<F>(&[("A", 5), ("B", 5)]).await;
    let version = async |name| stock.item(&sku(name)).await.unwrap().unwrap().version;
    let order = new_order();
    apply(&*stock, reserve(order, &[("A", 2)]), NOW).await;
    assert_eq!((version("A").await, version("B").await), (2, 1));
    apply(&*stock, reserve(order, &[("A", 2)]), NOW).await;
    assert_eq!(version("A").await, 2, "a repeat changes nothing");
    apply(&*stock, ship(order), NOW).await;
    assert_eq!(version("A").await, 3);
    assert_eq!(set(&*stock, "A", 3, None).await.unwrap().0.version, 3);
    assert_eq!(set(&*stock, "A", 4, None).await.unwrap().0.version, 4);
    let (adjusted, _) = stock.adjust(&sku("A"), 1, "found", None).await.unwrap();
    assert_eq!(adjusted.item.version, 5);
    let listed = stock.items(None, 1).await.unwrap();
    assert_eq!(listed, [(sku("A"), adjusted.item)]);
}

pub async fn adjustments_add_up_and_are_listed<F: StockFixture>() {
    let (_fixture, stock) = stocked::<F>(&[("A", 10), ("B", 1)]).await;
    let (a, b) = (sku("A"), sku("B"));
    let (five, seven) = tokio::join!(
        stock.adjust(&a, 5, "delivery 4711", None),
        stock.adjust(&a, 7, "delivery 4712", None)
    );
    let (five, seven) = (five.unwrap().0, seven.unwrap().0);
    assert_eq!(level(&*stock, "A").await, (22, 0));
    stock.adjust(&b, 1, "another's", None).await.unwrap();
    let (last, known) = stock.adjust(&a, -2, "broken", None).await.unwrap();
    assert!(!known);
    assert_eq!(
        (last.delta, &*last.reason, last.item.level.on_hand),
        (-2, "broken", 20)
    );
    let mut expected = vec![five, seven];
    expected.sort_unstable_by_key(|one| one.id);
    expected.push(last);
    expected.reverse();
    assert_eq!(stock.adjustments(&a, None, 10).await.unwrap(), expected);
    let page = stock
        .adjustments(&a, Some(expected[0].id), 1)
        .await
        .unwrap();
    assert_eq!(page, expected[1..2]);
    let unknown = stock.adjust(&sku("GHOST"), 1, "why", None).await;
    assert!(
        matches!(unknown, Err(Refused(WriteRefused::UnknownItem))),
        "{unknown:?}"
    );
    assert_eq!(
        stock.adjustments(&sku("GHOST"), None, 10).await.unwrap(),
        []
    );
}

pub async fn a_known_key_adjusts_nothing<F: StockFixture>() {
    let (_fixture, stock) = stocked::<F>(&[("A", 10), ("B", 10)]).await;
    let adjust = async |name, delta, reason, key| {
        let adjusted = stock.adjust(&sku(name), delta, reason, Some(key)).await;
        adjusted.map_err(|error| error.to_string())
    };
    let (first, known) = adjust("A", 5, "delivery", "k1").await.unwrap();
    assert!(!known);
    set(&*stock, "A", 3, None).await.unwrap();
    assert_eq!(adjust("A", 5, "delivery", "k1").await, Ok((first, true)));
    assert_eq!(level(&*stock, "A").await, (3, 0));
    let reused = Err(WriteRefused::KeyReused.to_string());
    for (name, delta, reason) in [
        ("A", 6, "delivery"),
        ("A", 5, "theft"),
        ("B", 5, "delivery"),
    ] {
        assert_eq!(adjust(name, delta, reason, "k1").await, reused);
    }
    set(&*stock, "A", 5, Some("k2")).await.unwrap();
    assert_eq!(adjust("A", 5, "delivery", "k2").await, reused);
    let set = set(&*stock, "A", 5, Some("k1")).await;
    assert!(
        matches!(set, Err(Refused(WriteRefused::KeyReused))),
        "{set:?}"
    );
    assert_eq!(
        stock.adjustments(&sku("A"), None, 10).await.unwrap().len(),
        1
    );
}

pub async fn items_are_listed_in_pages<F: StockFixture>() {
    let names = ["B", "a", "A-2", "A", "{x,\"y\"}", "~"];
    let (_fixture, stock) = stocked::<F>(&names.map(|name| (name, 2))).await;
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = stock.items(after.as_ref(), 2).await.unwrap();
        let Some((last, _)) = page.last() else { break };
        assert!(page.len() <= 2);
        after = Some(last.clone());
        seen.extend(page.into_iter().map(|(sku, _)| sku));
    }
    let expected: BTreeSet<Sku> = names.iter().map(|name| sku(name)).collect();
    assert_eq!(seen.len(), names.len());
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), expected);
}
