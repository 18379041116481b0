//! REST, WebSocket and SSE.
