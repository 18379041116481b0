//! Live updates of orders over a WebSocket, without gap or repeat even if connections are lost.

mod connection;
mod message;
mod progress;
mod socket;
mod stream;

pub use message::{LiveMessage, Update};
pub use stream::{LiveBuilder, LiveEvent, LiveStream, ORDERS_MAX};
