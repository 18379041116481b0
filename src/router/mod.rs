//! Every replica answers for every order. It handles its own orders itself and forwards the rest to the owner
//! in one hop ([`forward`]). A forwarded request is handled here or refused, never forwarded again
//! ([`serve`]). Live subscriptions follow the owners ([`subscriptions`]); the directory knows the owners, and
//! the links carry the bytes.

mod ask;
mod core;
mod forward;
mod retry;
mod serve;
mod start;
mod subscriptions;

pub use self::core::{Router, RouterParts, RouterSettings};
