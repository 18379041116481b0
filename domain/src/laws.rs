//! Property tests of the laws of order and stock, for any requests in any order.

mod couriers;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use uuid::Uuid;

use crate::command::{Command, HeldUp, Origin};
use crate::decide::{Decision, decide, place};
use crate::event::{Change, OrderEvent};
use crate::evolve::evolve;
use crate::ids::{CommandId, CourierId, CustomerId, OrderId, Sku, Version};
use crate::invariants::check_log;
use crate::money::{Amount, Currency};
use crate::order::Order;
use crate::placed::{Address, Item, Placed};
use crate::saga::{Intent, Policy, Saga, Stock, deadline_after, intents};
use crate::status::Status;
use crate::stock::{Ledger, Level, Outcome, Request, Reservation};
use crate::time::Timestamp;

fn placed() -> Placed {
    let items = [Item {
        sku: Sku::parse("PIZZA").expect("valid"),
        quantity: 2,
        unit_price: Amount(950),
    }];
    Placed {
        customer: CustomerId(Uuid::from_u128(7)),
        currency: Currency::parse("EUR").expect("valid"),
        total: Placed::total_of(&items).expect("small"),
        items: items.into(),
        address: Address {
            street: "a".into(),
            city: "b".into(),
            postal_code: "c".into(),
            country: "DE".into(),
            lat: None,
            lon: None,
            phone: None,
        },
        instructions: None,
        shop: None,
    }
}

fn origin(id: u128, now: i64) -> Origin {
    Origin {
        command: CommandId(Uuid::from_u128(id)),
        by: "test".into(),
        now: Timestamp(now),
    }
}

fn new_order() -> (Order, OrderEvent) {
    let event = place(
        OrderId(Uuid::from_u128(1)),
        Arc::new(placed()),
        None,
        origin(1, 1_000),
    );
    let saga = Saga::started(event.at, &Policy::default());
    (
        Order::from_placed(&event, saga).expect("a placement"),
        event,
    )
}

fn held_up() -> impl Strategy<Value = HeldUp> {
    prop::sample::select(vec![HeldUp::Not, HeldUp::Unsent, HeldUp::Behind])
}

fn any_command() -> impl Strategy<Value = Command> {
    prop_oneof![
        8 => (0..Status::ALL.len(), 0..3_usize).prop_map(|(i, named)| Command::Advance {
            to: Status::ALL[i],
            courier: CourierId::parse(["", "anna", "bert"][named]),
        }),
        1 => Just(Command::Cancel { reason: "no longer hungry".into() }),
        4 => Just(Command::StockReserved),
        1 => Just(Command::StockRefused { reason: "none left".into() }),
        2 => Just(Command::StockReleased),
        2 => (held_up(), 0..3_i64).prop_map(|(held_up, back)| Command::DeadlineDue {
            deadline: Timestamp(61_000 + back * 60_000),
            held_up,
        }),
    ]
}

/// Makes the list of all names of commands, and a function that names one.
macro_rules! commands {
    ($($command:pat => $name:literal,)*) => {
        const COMMANDS: &[&str] = &[$($name),*];

        fn name_of(command: &Command) -> &'static str {
            match command {
                $($command => $name,)*
            }
        }
    };
}

commands!(
    Command::Advance { .. } => "advance",
    Command::Cancel { .. } => "cancel",
    Command::StockReserved => "stock reserved",
    Command::StockRefused { .. } => "stock refused",
    Command::StockReleased => "stock released",
    Command::DeadlineDue { .. } => "deadline due",
);

/// A new command doesn't compile before it is named above, and fails here before it is drawn.
#[test]
fn every_command_is_drawn() {
    let mut runner = TestRunner::deterministic();
    let commands = any_command();
    let drawn: BTreeSet<&str> = (0..500)
        .map(|_| {
            let draw = commands.new_tree(&mut runner).expect("a draw");
            name_of(&draw.current())
        })
        .collect();
    let all: BTreeSet<&str> = COMMANDS.iter().copied().collect();
    assert_eq!(drawn, all);
}

#[test]
fn what_was_asked_without_a_key_pushes_out_no_keyed_success() {
    let (mut order, _) = new_order();
    let keyed = |n: u8| CommandId(Uuid::new_v5(&Uuid::NAMESPACE_OID, &[n]));
    let drawn =
        |n: u64| CommandId(uuid::Builder::from_unix_timestamp_millis(n, &[0; 10]).into_uuid());
    let command = Command::advance(Status::Pending);
    order.remember(keyed(0), &command);
    for n in 1..100 {
        order.remember(drawn(n), &command);
    }
    assert_eq!(order.answered(keyed(0)), Some(Version(1)));
    assert_eq!(order.answered(drawn(99)), Some(Version(1)));
    assert_eq!(order.remembered.len(), 5);
    for n in 1..16 {
        order.remember(keyed(n), &command);
    }
    assert_eq!(
        order.answered(keyed(0)),
        Some(Version(1)),
        "the drawn ones went first"
    );
    assert_eq!(order.answered(drawn(99)), None);
    order.remember(keyed(16), &command);
    assert_eq!(order.answered(keyed(0)), None, "the oldest went");
}

proptest! {
    /// Replay gives the same state; no illegal step is accepted; versions have no gap; time never
    /// runs back; a refused or repeated command changes nothing.
    #[test]
    fn an_order_obeys_its_laws(commands in prop::collection::vec((any_command(), 0..200_000_i64), 0..24)) {
        let (mut order, first) = new_order();
        let start = order.clone();
        let mut events = vec![first];
        for (index, (command, now)) in commands.into_iter().enumerate() {
            let before = order.clone();
            match decide(&order, &command, origin(100 + index as u128, now), &Policy::default()) {
                Ok(Decision::Event(event)) => {
                    prop_assert_eq!(event.version, order.version().next());
                    prop_assert!(event.at >= order.updated_at());
                    prop_assert!(before.status().steps().contains(&event.change.status()));
                    order = evolve(order, &event);
                    prop_assert_eq!(order.answered(event.command), Some(event.version));
                    events.push(event);
                }
                Ok(Decision::Bookkeep { saga, .. }) => {
                    prop_assert!(saga != order.saga, "bookkeeping without a change would loop");
                    order.saga = saga;
                }
                Ok(Decision::Unchanged) => {}
                Err(rejection) => {
                    prop_assert!(!before.status().client_steps().contains(&rejection.wanted));
                    prop_assert!(rejection.wanted != before.status());
                }
            }
        }
        let log: Vec<_> = order.log.iter().zip(1..).map(|(entry, n)| (Version(n), entry.status)).collect();
        prop_assert_eq!(check_log(&log), Ok(()));
        let mut replayed = events[1..].iter().fold(start, evolve_ref);
        replayed.saga = order.saga;
        prop_assert_eq!(&replayed, &order);
        // An event that is applied twice changes nothing.
        let again = events.iter().fold(order.clone(), evolve_ref);
        prop_assert_eq!(again, order);
    }

    /// Reserved plus available is on hand, none negative, and every reservation is settled once, in any
    /// order of creations, cancellations and deliveries, and with any repeats.
    #[test]
    fn the_ledger_balances(
        requests in prop::collection::vec((0..6_usize, 0..3_usize, 1..5_u64, 1..5_u64), 1..80)
    ) {
        let skus: Vec<Sku> = ["A", "B"].iter().map(|s| Sku::parse(s).expect("valid")).collect();
        let mut ledger = Ledger::new(skus.iter().map(|sku| (sku.clone(), Level { on_hand: 10, reserved: 0 })).collect());
        let mut state: BTreeMap<usize, (Reservation, Vec<(Sku, u64)>)> = BTreeMap::new();
        let mut shipped = BTreeMap::<Sku, u64>::new();
        for (order, kind, a, b) in requests {
            let demand = vec![(skus[0].clone(), a), (skus[1].clone(), b)];
            let request = match kind {
                0 => Request::Reserve(demand.clone()),
                1 => Request::Release,
                _ => Request::Ship,
            };
            let (before, held) = match state.get(&order) {
                Some((state, items)) => (Some(*state), items.clone()),
                None => (None, Vec::new()),
            };
            if let Outcome::Now { state: after, .. } = ledger.apply(&request, before, &held) {
                let legal = matches!(
                    (before, after),
                    (None, Reservation::Held | Reservation::Failed | Reservation::Barred)
                        | (Some(Reservation::Held), Reservation::Released | Reservation::Shipped)
                        | (Some(Reservation::Failed), Reservation::Released)
                );
                prop_assert!(legal, "{before:?} to {after:?}");
                if after == Reservation::Shipped {
                    for (sku, quantity) in &held {
                        *shipped.entry(sku.clone()).or_default() += quantity;
                    }
                }
                let items = if after == Reservation::Held { demand } else { held };
                state.insert(order, (after, items));
            }
            for sku in &skus {
                let level = ledger.levels()[sku];
                let held: u64 = state
                    .values()
                    .filter(|(state, _)| *state == Reservation::Held)
                    .flat_map(|(_, items)| items)
                    .filter(|(held, _)| held == sku)
                    .map(|(_, quantity)| quantity)
                    .sum();
                prop_assert_eq!(level.reserved, held);
                prop_assert_eq!(level.on_hand, 10 - shipped.get(sku).copied().unwrap_or(0));
                prop_assert_eq!(level.reserved + level.available(), level.on_hand);
            }
        }
    }
}

fn evolve_ref(order: Order, event: &OrderEvent) -> Order {
    evolve(order, event)
}

#[test]
fn only_the_table_of_steps_is_accepted() {
    use Status::{Cancelled, Confirmed, Delivered, InTransit, Pending, Preparing, Rejected};
    let table = [
        (Pending, vec![Cancelled]),
        (Confirmed, vec![Preparing, Cancelled]),
        (Preparing, vec![InTransit, Cancelled]),
        (InTransit, vec![Delivered]),
        (Delivered, vec![]),
        (Rejected, vec![]),
        (Cancelled, vec![]),
    ];
    for (status, steps) in table {
        assert_eq!(status.client_steps(), steps, "{status}");
        assert_eq!(status.is_final(), steps.is_empty(), "{status}");
    }
}

#[test]
fn the_reservation_deadline_asks_once_and_then_cancels() {
    let (mut order, _) = new_order();
    let due = |order: &Order, held_up| Command::DeadlineDue {
        deadline: order.saga.deadline.expect("pending orders have one"),
        held_up,
    };
    let decide = |order: &Order, command: &Command, now| {
        decide(order, command, origin(9, now), &Policy::default())
    };

    // While the request still waits in the outbox, the deadline is moved on each time and never acts.
    let Ok(Decision::Bookkeep { saga, resend }) =
        decide(&order, &due(&order, HeldUp::Unsent), 61_000)
    else {
        panic!("moved on")
    };
    assert_eq!((saga.asked_again, resend), (0, &[][..]));
    order.saga = saga;

    let command = due(&order, HeldUp::Not);
    let Ok(Decision::Bookkeep { saga, resend }) = decide(&order, &command, 122_000) else {
        panic!("asked again")
    };
    assert_eq!(
        (saga.asked_again, resend),
        (1, &[Intent::AnnounceCreated][..])
    );
    order.saga = saga;
    assert_eq!(
        decide(&order, &command, 122_001),
        Ok(Decision::Unchanged),
        "a wake for the old deadline"
    );

    let Ok(Decision::Event(event)) = decide(&order, &due(&order, HeldUp::Not), 183_000) else {
        panic!("cancelled")
    };
    assert!(matches!(event.change, Change::Cancelled { .. }));
    assert!(
        intents(&event).contains(&Intent::AnnounceCancelled),
        "compensates"
    );
    let order = evolve(order, &event);
    assert_eq!(order.saga.stock, Stock::Releasing);
    assert_eq!(
        decide(&order, &Command::StockReserved, 184_000),
        Ok(Decision::Unchanged),
        "too late"
    );
}

#[test]
fn while_inventory_is_behind_nothing_is_asked_again_until_the_limit() {
    let (mut order, _) = new_order();
    let policy = Policy::default();
    let limit = order.created_at().plus(policy.reservation_wait_max);
    loop {
        let deadline = order.saga.deadline.expect("pending orders have one");
        let command = Command::DeadlineDue {
            deadline,
            held_up: HeldUp::Behind,
        };
        match decide(&order, &command, origin(9, deadline.0), &policy) {
            Ok(Decision::Bookkeep { saga, resend }) => {
                assert!(deadline < limit, "past the limit");
                assert_eq!((saga.asked_again, resend), (0, &[][..]));
                order.saga = saga;
            }
            Ok(Decision::Event(event)) => {
                assert!(deadline >= limit, "cancelled after {deadline:?}");
                assert_eq!(event.change.reason(), Some("reservation timed out"));
                return;
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_release_is_asked_for_until_it_is_confirmed() {
    let (order, _) = new_order();
    let policy = Policy::default();
    let cancel = Command::Cancel {
        reason: "no longer hungry".into(),
    };
    let Ok(Decision::Event(event)) = decide(&order, &cancel, origin(2, 2_000), &policy) else {
        panic!("cancelled")
    };
    let mut order = evolve(order, &event);
    order.saga.deadline = deadline_after(&event, &policy);
    let mut pauses = Vec::new();
    for held_up in [
        HeldUp::Not,
        HeldUp::Behind,
        HeldUp::Unsent,
        HeldUp::Not,
        HeldUp::Not,
    ] {
        let deadline = order.saga.deadline.expect("an unconfirmed release has one");
        let command = Command::DeadlineDue { deadline, held_up };
        let decided = decide(&order, &command, origin(9, deadline.0), &policy);
        let Ok(Decision::Bookkeep { saga, resend }) = decided else {
            panic!("{decided:?}")
        };
        let is_asked = resend == [Intent::AnnounceCancelled];
        assert_eq!(is_asked, held_up == HeldUp::Not, "{held_up:?}");
        pauses.push(
            saga.deadline
                .expect("still awaited")
                .since(deadline)
                .as_secs(),
        );
        order.saga = saga;
    }
    assert_eq!(pauses, [120, 60, 60, 240, 480]);
    assert_eq!(policy.release_pause(u32::MAX), Duration::from_hours(1));
    let confirmed = decide(
        &order,
        &Command::StockReleased,
        origin(3, 9_000_000),
        &policy,
    );
    let Ok(Decision::Bookkeep { saga, .. }) = confirmed else {
        panic!("{confirmed:?}")
    };
    assert_eq!((saga.stock, saga.deadline), (Stock::Released, None));
}

#[test]
fn an_orders_time_never_runs_back() {
    let (order, _) = new_order();
    let Ok(Decision::Event(event)) = decide(
        &order,
        &Command::StockReserved,
        origin(2, -5),
        &Policy::default(),
    ) else {
        panic!("confirmed")
    };
    assert_eq!(event.at, order.updated_at());
    assert_eq!(event.at.since(order.created_at()), Duration::ZERO);
}

#[test]
fn a_broken_log_is_named() {
    use crate::invariants::Invariant;
    let log = |steps: &[(u32, Status)]| {
        steps
            .iter()
            .map(|(v, s)| (Version(*v), *s))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        check_log(&log(&[(1, Status::Pending), (3, Status::Confirmed)])),
        Err(Invariant::OneWriter)
    );
    assert_eq!(
        check_log(&log(&[(1, Status::Pending), (2, Status::Delivered)])),
        Err(Invariant::Legal)
    );
    assert_eq!(
        check_log(&log(&[(1, Status::Confirmed)])),
        Err(Invariant::Legal)
    );
}

#[test]
fn a_sku_that_stands_twice_is_added_up() {
    let item = |sku: &str, quantity| Item {
        sku: Sku::parse(sku).expect("valid"),
        quantity,
        unit_price: Amount(1),
    };
    let content = Placed {
        items: [item("B", 2), item("A", 1), item("B", 3)].into(),
        ..placed()
    };
    let demand: Vec<_> = content
        .demand()
        .into_iter()
        .map(|(sku, n)| (sku.as_str().to_owned(), n))
        .collect();
    assert_eq!(demand, [("A".to_owned(), 1), ("B".to_owned(), 5)]);
}
