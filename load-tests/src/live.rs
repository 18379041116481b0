//! The WebSocket side: many sockets on `/api/v1/track`, each frame handed on
//! with the moment it was read. Not by `trackops_client`: it keeps one version of each
//! order back that comes twice, reads whole views, and hides lost connections, which a measurement has to see.

mod fleet;
mod frame;

pub use fleet::{Fleet, Sink, subscribe, unsubscribe};
pub use frame::Frame;
