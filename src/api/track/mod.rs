//! Watching orders live: `GET /api/v1/track` ([`socket`], WebSocket) and `GET /api/v1/orders/{id}/events`
//! ([`events`], SSE), and by a tracking link `GET /api/v1/tracking/{token}` ([`get_tracking`]) and its events
//! ([`stream_tracking`]). `live` decides what a listener is told, and in which order; this carries it and bounds
//! what a client may do.

pub mod events;
pub mod get_tracking;
mod limits;
pub mod messages;
pub mod socket;
mod state;
pub mod stream_tracking;
mod subscriptions;
mod tracking_link;

pub use limits::Limits;
pub use state::TrackState;
pub use tracking_link::TrackingState;
