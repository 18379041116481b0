//! Applies events to an order. It never refuses one, because an event in the journal is a fact.

use crate::event::{Change, OrderEvent};
use crate::order::{LogEntry, Order};
use crate::saga::Stock;

/// Returns the order after `event`. An event whose version isn't the next one changes nothing: the
/// journal holds each version once, so it can only be a repeat. The deadline after an event comes from
/// the policy: [`crate::saga::deadline_after`].
#[must_use]
pub fn evolve(mut order: Order, event: &OrderEvent) -> Order {
    if event.version != order.version().next() {
        return order;
    }
    order.log.push(LogEntry::of(event));
    let saga = &mut order.saga;
    match event.change {
        Change::Placed { .. } | Change::Preparing { .. } | Change::InTransit { .. } => {}
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
