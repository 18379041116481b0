//! Live tracking on one replica: who listens to which order and what each listener lacks ([`hub`]),
//! the queue between the hub and one socket or stream ([`queue`]), its bounded content ([`backlog`]),
//! and which frame may follow which ([`sequence`]). How frames travel is left to `api::track`.

pub mod backlog;
pub mod hub;
pub mod queue;
pub mod sequence;
