//! The topics of the bus, which are also the event types.

use std::fmt;

/// A topic of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// The whole order as placed.
    OrderCreated,
    /// Every later version.
    OrderStatusUpdated,
    /// The change to CANCELLED; asks inventory to release.
    OrderCancelled,
    /// The change to DELIVERED; tells inventory to ship.
    OrderDelivered,
    /// Inventory holds everything.
    InventoryReserved,
    /// Inventory can't reserve everything.
    InventoryReservationFailed,
    /// Inventory has put the reservation back.
    InventoryReleased,
    /// Progress reported by kitchens, warehouses and couriers.
    FulfillmentUpdates,
}

impl Topic {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::OrderCreated,
        Self::OrderStatusUpdated,
        Self::OrderCancelled,
        Self::OrderDelivered,
        Self::InventoryReserved,
        Self::InventoryReservationFailed,
        Self::InventoryReleased,
        Self::FulfillmentUpdates,
    ];

    /// The name, without prefix.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OrderCreated => "ORDER_CREATED",
            Self::OrderStatusUpdated => "ORDER_STATUS_UPDATED",
            Self::OrderCancelled => "ORDER_CANCELLED",
            Self::OrderDelivered => "ORDER_DELIVERED",
            Self::InventoryReserved => "INVENTORY_RESERVED",
            Self::InventoryReservationFailed => "INVENTORY_RESERVATION_FAILED",
            Self::InventoryReleased => "INVENTORY_RELEASED",
            Self::FulfillmentUpdates => "FULFILLMENT_UPDATES",
        }
    }

    /// The topic of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|topic| topic.as_str() == name)
    }

    /// Every topic that `migrate` creates: all of ours, and a `.dlq` topic for each, because any consumer
    /// may park a message of any topic.
    pub fn all_with_dead_letters() -> Vec<String> {
        Self::ALL
            .iter()
            .flat_map(|topic| [topic.as_str().to_owned(), dead_letter_topic(topic.as_str())])
            .collect()
    }
}

// A topic's place in the enum is its index in `ALL`: tables are made by the one and read by the other.
const _: () = {
    let mut index = 0;
    while index < Topic::ALL.len() {
        assert!(Topic::ALL[index] as usize == index);
        index += 1;
    }
};

/// The suffix of a dead-letter topic's name.
pub const DEAD_LETTER_SUFFIX: &str = ".dlq";

/// The dead-letter topic of `topic`.
pub fn dead_letter_topic(topic: &str) -> String {
    format!("{topic}{DEAD_LETTER_SUFFIX}")
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
