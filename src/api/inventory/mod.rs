//! The endpoints of stock and reservations, under `/api/v1/inventory`.

mod get_item;
mod get_reservation;
mod list_items;
mod put_item;

use serde::Serialize;
use trackops_domain::ids::Sku;
use trackops_domain::stock::Level;
use utoipa::ToSchema;

pub use get_item::{__path_get_item, get_item};
pub use get_reservation::{
    __path_get_reservation, ReservationBody, ReservationLine, get_reservation,
};
pub use list_items::{__path_list_items, ItemPage, list_items};
pub use put_item::{__path_put_item, OnHandBody, put_item};

/// What is known of one item.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ItemView {
    /// The stock keeping unit.
    pub sku: String,
    /// In the house, reserved or not.
    pub on_hand: u64,
    /// Promised to orders.
    pub reserved: u64,
    /// What may still be promised.
    pub available: u64,
}

impl ItemView {
    /// The view of `level`.
    pub fn of(sku: &Sku, level: Level) -> Self {
        Self {
            sku: sku.as_str().into(),
            on_hand: level.on_hand,
            reserved: level.reserved,
            available: level.available(),
        }
    }
}
