//! The WebSocket side: many sockets on `/api/v1/track`, each frame handed on
//! with the moment it was read.

mod fleet;
mod frame;

pub use fleet::{Fleet, Sink, subscribe, unsubscribe};
pub use frame::Frame;
