//! The endpoints of stock and reservations, under `/api/v1/inventory`.

mod adjust_item;
mod adjustment_view;
mod get_item;
mod get_reservation;
pub(super) mod item_etag;
mod item_view;
mod list_adjustments;
mod list_items;
mod put_item;

pub use adjust_item::{__path_adjust_item, AdjustmentBody, adjust_item};
pub use adjustment_view::AdjustmentView;
pub use get_item::{__path_get_item, get_item};
pub use get_reservation::{
    __path_get_reservation, ReservationBody, ReservationLine, get_reservation,
};
pub use item_view::ItemView;
pub use list_adjustments::{__path_list_adjustments, AdjustmentPage, list_adjustments};
pub use list_items::{__path_list_items, ItemPage, list_items};
pub use put_item::{__path_put_item, OnHandBody, put_item};
