//! Watching orders live: `GET /api/v1/track` ([`socket`], WebSocket) and `GET /api/v1/orders/{id}/events`
//! ([`events`], SSE). `live` decides what a listener is told, and in which order; this carries it and bounds
//! what a client may do.

pub mod events;
mod limits;
pub mod messages;
pub mod socket;
mod state;

use axum::Router;
use axum::routing::get;

pub use events::EVENTS_PATH;
pub use limits::Limits;
pub use socket::TRACK_PATH;
pub use state::TrackState;

/// The two routes, to be merged into the router of the public listener.
pub fn routes(state: TrackState) -> Router {
    Router::new()
        .route(TRACK_PATH, get(socket::open_socket))
        .route(EVENTS_PATH, get(events::stream_order_events))
        .with_state(state)
}
