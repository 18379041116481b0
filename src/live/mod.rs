//! Live tracking on one replica: the registry of listeners and what each lacks ([`hub`]), the queue between
//! the hub and one socket or stream ([`queue`]), its bounded content ([`backlog`]), and which frame may
//! follow which ([`sequence`]). How frames travel is left to `api::track`.
//!
//! Across replicas: orders of other replicas that clients here watch ([`mirror`]), and orders of this one
//! that clients of other replicas watch ([`feed`]). How replicas find each other is left to `router`.

pub mod backlog;
pub mod feed;
pub mod hub;
pub mod mirror;
pub mod mirror_settings;
mod mirrored;
pub mod queue;
pub mod sequence;
pub mod upstream;
