//! REST, the management routes and the HTTP server under them. `router.rs` has every route; each endpoint has
//! a file. Leaves the rules of an order to `domain`.

mod audited;
mod caller;
pub mod client_address;
pub mod client_stream;
mod connection;
mod connection_h2;
mod cors;
pub mod counted;
mod credential;
mod failure_log;
mod guard;
mod limit_layer;
mod linger;
mod opening;
mod per_address;
mod route_times;
pub mod router;
pub mod server;
mod server_limits;
pub mod service;
mod shown_path;
pub mod site_policy;
pub mod state;
mod streams;
mod too_many;
mod unknown;

pub mod admin;
pub mod inventory;
pub mod orders;
pub mod probes;
pub mod track;

pub mod asyncapi;
pub mod documents;
mod error_answers;
mod headers;
mod message_schemas;
pub mod openapi;
pub mod parameters;
pub mod problem;
pub mod problem_code;
mod problem_of;
pub mod problem_pages;
mod schemas;
pub mod served;

mod body;
mod body_budget;
mod cursor;
pub mod etag;
mod fixed_document;
mod json;
pub mod params;
#[cfg(test)]
mod parsing_tests;
mod request_head;
pub mod request_headers;
mod shape;
mod unread;
