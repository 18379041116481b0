//! Access tokens of an issuer that the test plays: which prove somebody, and which don't.

mod bad_tokens;
mod endings;
pub(super) mod issuer;
mod key_sets;
mod over_http;
mod rest;
mod signing_key;
