//! The part of the journal's suite that is about lists.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use trackops::ports::journal::RowOutcome::{Committed, Conflict};
use trackops::ports::journal::{Journal, ListFilter};
use trackops_domain::event::Change;
use trackops_domain::ids::{CustomerId, ShopId};
use trackops_domain::order::Order;
use trackops_domain::status::Status;
use trackops_domain::time::Timestamp;
use uuid::Uuid;

use super::support::{OrdersFixture, Owned, changed, new_order_for, new_order_of};

pub async fn lists_are_newest_first_and_pages_have_no_gap<F: OrdersFixture>() {
    let db = Owned::<F>::fresh().await;
    let journal = db.fixture.journal();
    let (anna, bert) = (CustomerId(Uuid::new_v4()), CustomerId(Uuid::new_v4()));
    // Ten at five different times, so that pages end between equals.
    let placed: Vec<_> = (0..10)
        .map(|n| {
            let customer = if n % 3 == 0 { anna } else { bert };
            new_order_of(customer, Timestamp(1_700_000_000_000 + n / 2))
        })
        .collect();
    let rows: Vec<_> = placed.iter().map(|new| db.creation(new)).collect();
    journal.append(&rows).await.unwrap();
    let confirmed = changed(&placed[4].0, Change::Confirmed);
    let step = db.step(&placed[4].0, &confirmed);
    journal.append(&[step]).await.unwrap();

    let mut all: Vec<Order> = placed.into_iter().map(|(order, _)| order).collect();
    all[4] = confirmed.0;
    all.sort_by_key(|order| std::cmp::Reverse((order.created_at(), order.id)));
    let only = |keep: &dyn Fn(&Order) -> bool| -> Vec<Order> {
        all.iter().filter(|order| keep(order)).cloned().collect()
    };
    let by = |status: &[Status], customer| ListFilter {
        statuses: status.into(),
        customer,
        limit: 3,
        ..ListFilter::default()
    };
    for (filter, expected) in [
        (by(&[], None), all.clone()),
        (
            by(&[Status::Pending], None),
            only(&|o| o.status() == Status::Pending),
        ),
        (
            by(&[Status::Confirmed], None),
            only(&|o| o.status() == Status::Confirmed),
        ),
        (by(&[Status::Delivered], None), vec![]),
        (by(&[Status::Delivered, Status::Rejected], None), vec![]),
        (by(&[Status::Confirmed, Status::Pending], None), all.clone()),
        (
            by(
                &[Status::Confirmed, Status::Confirmed, Status::Rejected],
                None,
            ),
            only(&|o| o.status() == Status::Confirmed),
        ),
        (
            by(&[Status::Confirmed, Status::Pending], Some(bert)),
            only(&|o| o.placed.customer == bert),
        ),
        (by(&[], Some(anna)), only(&|o| o.placed.customer == anna)),
        (
            by(&[Status::Pending], Some(bert)),
            only(&|o| o.placed.customer == bert && o.status() == Status::Pending),
        ),
    ] {
        assert_eq!(listed(&*journal, &filter).await, expected, "{filter:?}");
    }
}

/// Every order of a list, page by page.
async fn listed(journal: &dyn Journal, filter: &ListFilter) -> Vec<Order> {
    let mut filter = filter.clone();
    let mut seen = Vec::new();
    loop {
        let page = journal.list(&filter).await.unwrap();
        assert!(page.len() <= filter.limit as usize);
        let Some(last) = page.last() else { break seen };
        filter.before = Some((last.created_at(), last.id));
        seen.extend(page);
    }
}

pub async fn a_shops_orders_are_listed_by_their_status_now<F: OrdersFixture>() {
    let db = Owned::<F>::fresh().await;
    let journal = db.fixture.journal();
    let shop = |name: &str| ShopId::parse(name).unwrap();
    let (north, south) = (shop("north"), shop("{south,\"NULL\"}"));
    let anna = CustomerId(Uuid::new_v4());
    // Twelve at six different times; every third has no shop.
    let placed = (0..12_u8).map(|n| {
        let customer = if n % 4 == 0 {
            anna
        } else {
            CustomerId(Uuid::new_v4())
        };
        let shop = [None, Some(&north), Some(&south)][usize::from(n % 3)];
        let at = Timestamp(1_700_000_000_000 + i64::from(n / 2));
        new_order_for(customer, shop.cloned(), at)
    });
    let placed: Vec<_> = placed.collect();
    let rows: Vec<_> = placed.iter().map(|new| db.creation(new)).collect();
    journal.append(&rows).await.unwrap();
    // A creation that is refused adds nothing to a list, nor does a step.
    assert_eq!(journal.append(&rows[..3]).await.unwrap(), [Conflict; 3]);
    let mut all: Vec<Order> = placed.into_iter().map(|(order, _)| order).collect();
    for n in [1, 2, 3, 7] {
        let confirmed = changed(&all[n], Change::Confirmed);
        let step = db.step(&all[n], &confirmed);
        assert_eq!(
            journal.append(std::slice::from_ref(&step)).await.unwrap(),
            [Committed]
        );
        assert_eq!(journal.append(&[step]).await.unwrap(), [Conflict]);
        all[n] = confirmed.0;
    }
    let mut bookkept = all[4].clone();
    bookkept.saga.asked_again = 1;
    let row = db.row(&bookkept, Some(bookkept.version()), None);
    assert_eq!(journal.append(&[row]).await.unwrap(), [Committed]);
    all[4] = bookkept;
    all.sort_by_key(|order| std::cmp::Reverse((order.created_at(), order.id)));

    let both = [north.clone(), south.clone(), north.clone()];
    for (shops, statuses, customer, count) in [
        (&both[..1], &[][..], None, 4),
        (&both[1..2], &[], None, 4),
        (&both, &[], None, 8),
        (&[shop("west")], &[], None, 0),
        (&both[..1], &[Status::Confirmed], None, 2),
        (&both[..1], &[Status::Pending, Status::Confirmed], None, 4),
        (&both, &[Status::Confirmed, Status::Delivered], None, 3),
        (&both, &[Status::Delivered], None, 0),
        (&both, &[], Some(anna), 2),
        (&both[..1], &[Status::Pending], Some(anna), 1),
        (&both[1..2], &[Status::Confirmed], Some(anna), 0),
    ] {
        let filter = ListFilter {
            shops: shops.into(),
            statuses: statuses.into(),
            customer,
            limit: 3,
            ..ListFilter::default()
        };
        let expected = all.iter().filter(|order| {
            order
                .placed
                .shop
                .as_ref()
                .is_some_and(|shop| shops.contains(shop))
                && (statuses.is_empty() || statuses.contains(&order.status()))
                && customer.is_none_or(|customer| order.placed.customer == customer)
        });
        let expected: Vec<Order> = expected.cloned().collect();
        assert_eq!(expected.len(), count, "{filter:?}");
        assert_eq!(listed(&*journal, &filter).await, expected, "{filter:?}");
    }
}
