//! A client of the API of `TrackOps`. What follows is `README.md`.
#![doc = include_str!("../README.md")]

mod address;
mod admin;
mod admin_views;
mod answer;
mod client;
mod dial;
mod error;
mod inventory;
mod inventory_views;
pub mod live;
mod order_views;
mod orders;
mod page;
mod problem;
mod retry;
mod status;
mod timestamp;
#[cfg(feature = "tls")]
mod tls;
mod tracking_views;
mod transport;
mod write_options;

pub use admin::Admin;
pub use admin_views::{
    ActorFailure, ActorView, ClusterView, DeadLetter, DeadLetterId, DrainView, LinkView,
    LocalShardView, NodeLife, NodeShards, NodeView, Origin, OutboxView, ReleasedView, SagaView,
    SentView, ShardList, ShardView,
};
pub use answer::{Answer, EntityTag};
pub use client::{Client, ClientBuilder};
pub use error::Error;
pub use inventory_views::{AdjustmentView, ItemView, ReservationLine, ReservationView};
pub use order_views::{
    Address, CourierView, HistoryEntry, HistoryView, OrderContent, OrderItem, OrderView, Position,
};
pub use orders::OrderFilter;
pub use page::{Page, PageRequest};
pub use problem::{FieldError, Problem};
pub use retry::RetryPolicy;
pub use status::Status;
pub use timestamp::Timestamp;
pub use tracking_views::{Stage, TrackedItem, TrackingLink, TrackingView};
pub use write_options::WriteOptions;

#[cfg(test)]
mod tests;
