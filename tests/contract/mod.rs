//! One suite per port, run against every adapter of it.

mod journal;
mod membership;
mod outbox;
mod postgres;
mod stock;
mod support;
