//! Live tracking: the hub, the queues, the socket and the event stream, without servers.

mod hub;
pub(crate) mod live_support;
mod track;
mod track_events;
pub(crate) mod track_support;
mod tracking_events;
