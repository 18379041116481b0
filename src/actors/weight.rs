//! What requests and orders weigh in memory: the texts in them, and a fixed amount for each structure that
//! holds texts. For bounds in bytes; right within a factor of two.

use trackops_domain::command::Command;
use trackops_domain::ids::CourierId;
use trackops_domain::order::Order;
use trackops_domain::placed::Placed;

use crate::ports::journal::AppendRow;

/// The fixed amounts: for an order, for one of its items, and for one of its changes.
const ORDER_BYTES: usize = 512;
const ITEM_BYTES: usize = 64;
const CHANGE_BYTES: usize = 96;

/// What a customer orders.
pub(super) fn content(placed: &Placed) -> usize {
    let address = &placed.address;
    let of_optional = |text: &Option<Box<str>>| text.as_ref().map_or(0, |text| text.len());
    let texts = address.street.len()
        + address.city.len()
        + address.postal_code.len()
        + address.country.len()
        + of_optional(&address.phone)
        + of_optional(&placed.instructions)
        + placed.shop.as_ref().map_or(0, |shop| shop.as_str().len());
    let items = placed.items.iter();
    let items: usize = items.map(|item| ITEM_BYTES + item.sku.as_str().len()).sum();
    ORDER_BYTES + texts + items
}

/// A live order.
pub(super) fn order(order: &Order) -> usize {
    let changes = order.log.iter().map(|entry| {
        let reason = entry.reason.as_ref().map_or(0, |reason| reason.len());
        CHANGE_BYTES + entry.by.len() + reason + courier(entry.courier.as_ref())
    });
    content(&order.placed) + changes.sum::<usize>() + order.remembered.len() * CHANGE_BYTES
}

/// A command.
pub(super) fn command(command: &Command) -> usize {
    let reason = command.asks_for().and_then(|(_, reason)| reason);
    CHANGE_BYTES + reason.map_or(0, str::len) + courier(command.courier())
}

fn courier(courier: Option<&CourierId>) -> usize {
    courier.map_or(0, |courier| courier.as_str().len())
}

/// A row on its way to the journal.
pub(super) fn row(row: &AppendRow) -> usize {
    let data = row.event.as_ref().and_then(|event| event.data.as_ref());
    let messages = row
        .outbox
        .iter()
        .map(|message| message.payload.len() + CHANGE_BYTES);
    ORDER_BYTES + row.head.saga.len() + data.map_or(0, bytes::Bytes::len) + messages.sum::<usize>()
}
