//! The actors over doubles: group commit, unknown outcomes, supervision, passivation, admission.

mod commit;
mod deadlines;
mod keys;
mod push;
pub mod rig;
mod room;
mod supervision;
