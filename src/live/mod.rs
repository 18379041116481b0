//! Live tracking on one replica: who listens to which order and what each listener lacks ([`hub`]),
//! and the bounded queue between the hub and one socket or stream ([`queue`]), which writes only
//! sequences that [`sequence`] allows. How frames travel is left to `api::track`.

pub mod hub;
pub mod queue;
pub mod sequence;
