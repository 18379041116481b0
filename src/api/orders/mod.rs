//! The endpoints of orders, under `/api/v1/orders`.

pub(super) mod answer;
mod cancel_order;
mod get_history;
mod get_order;
mod get_tracking_link;
mod list_orders;
mod order_draft;
mod place_order;
mod put_location;
mod put_status;

pub use cancel_order::{__path_cancel_order, CancelBody, cancel_order};
pub use get_history::{__path_get_history, HistoryView, get_history};
pub use get_order::{__path_get_order, get_order};
pub use get_tracking_link::{__path_get_tracking_link, TrackingLinkView, get_tracking_link};
pub use list_orders::{__path_list_orders, OrderPage, list_orders};
pub use order_draft::OrderDraft;
pub use place_order::{__path_place_order, PlacedView, place_order};
pub use put_location::{__path_put_location, LocationBody, put_location};
pub use put_status::{__path_put_status, StatusBody, put_status};
