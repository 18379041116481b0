//! Applying what has happened. Total: an event that is in the journal is a fact.

use crate::event::{Change, OrderEvent};
use crate::order::{LogEntry, Order};
use crate::saga::Stock;

/// The order after `event`. An event of another version than the next one leaves it as it is:
/// the journal holds each version once, so that can only be a repeat. The deadline of what the event
/// leaves awaited is the policy's: [`crate::saga::deadline_after`].
#[must_use]
pub fn evolve(mut order: Order, event: &OrderEvent) -> Order {
    if event.version != order.version().next() {
        return order;
    }
    order.log.push(LogEntry::of(event));
    let saga = &mut order.saga;
    match event.change {
        Change::Placed { .. } | Change::Preparing | Change::InTransit => {}
        Change::Confirmed => {
            saga.stock = Stock::Reserved;
            saga.deadline = None;
        }
        Change::Rejected { .. } => {
            saga.stock = Stock::Refused;
            saga.deadline = None;
        }
        Change::Delivered => {
            saga.stock = Stock::Shipped;
            saga.deadline = None;
        }
        Change::Cancelled { .. } => {
            saga.stock = Stock::Releasing;
            saga.deadline = None;
            saga.asked_again = 0;
        }
    }
    order
}
