//! REST, the management routes and the HTTP server under them. `router.rs` has every route; each
//! endpoint is a file. Leaves what an order may do to `domain`, and WebSocket and SSE to `track`.

pub mod admin;
pub mod etag;
pub mod probes;
pub mod problem;
pub mod problem_code;
mod problem_of;
pub mod state;
pub mod track;
