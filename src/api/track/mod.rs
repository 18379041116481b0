//! Watching orders live: `GET /api/v1/track` ([`socket`], WebSocket) and `GET /api/v1/orders/{id}/events`
//! ([`events`], SSE). `live` decides what a listener is told, and in which order; this carries it and bounds
//! what a client may do.

pub mod events;
mod limits;
pub mod messages;
pub mod socket;
mod state;

pub use limits::Limits;
pub use state::TrackState;
