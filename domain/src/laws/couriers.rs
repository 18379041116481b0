//! The courier of an order.

use uuid::Uuid;

use super::{new_order, origin};
use crate::command::Command;
use crate::decide::{Decision, decide};
use crate::evolve::evolve;
use crate::ids::{CommandId, CourierId};
use crate::order::Order;
use crate::saga::Policy;
use crate::status::Status;

/// `order` after `command`, if that is an event.
fn after(order: &Order, command: &Command, id: u128) -> Order {
    match decide(order, command, origin(id, 2_000), &Policy::default()) {
        Ok(Decision::Event(event)) => evolve(order.clone(), &event),
        Ok(_) => order.clone(),
        Err(rejection) => panic!("{command:?}: {rejection}"),
    }
}

#[test]
fn an_order_keeps_the_courier_that_was_named_last() {
    let to = |to, name: &str| Command::Advance {
        to,
        courier: CourierId::parse(name),
    };
    let name = |order: &Order| order.courier().map(ToString::to_string);
    let (order, _) = new_order();
    let order = after(&order, &Command::StockReserved, 10);
    let anna = to(Status::Preparing, "anna");
    let preparing = after(&order, &anna, 11);
    assert_eq!(name(&preparing).as_deref(), Some("anna"));
    // The step to the same status changes nothing, whoever it names.
    let again = after(&preparing, &to(Status::Preparing, "bert"), 12);
    assert_eq!(again, preparing);
    let (on_its_way, taken_over) = (
        after(&preparing, &to(Status::InTransit, ""), 13),
        after(&preparing, &to(Status::InTransit, "bert"), 13),
    );
    assert_eq!(name(&on_its_way).as_deref(), Some("anna"));
    assert_eq!(name(&taken_over).as_deref(), Some("bert"));
    // No courier belongs to the other steps.
    let delivered = after(&taken_over, &to(Status::Delivered, "carl"), 14);
    assert_eq!(name(&delivered).as_deref(), Some("bert"));
    let first = CommandId(Uuid::from_u128(11));
    assert!(delivered.asked_the_same(first, &anna));
    for other in [to(Status::Preparing, ""), to(Status::Preparing, "bert")] {
        assert!(!delivered.asked_the_same(first, &other), "{other:?}");
    }
    // The same for a command that changed nothing.
    let mut order = preparing;
    let key = CommandId(Uuid::from_u128(15));
    order.remember(key, &anna);
    assert!(order.asked_the_same(key, &anna));
    for other in [to(Status::Preparing, ""), to(Status::Preparing, "bert")] {
        assert!(!order.asked_the_same(key, &other), "{other:?}");
    }
}
