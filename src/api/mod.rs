//! REST, WebSocket and SSE.

pub mod track;
