//! The actors over doubles: group commit, unknown outcomes, supervision, passivation, admission.

mod commit;
mod rig;
mod supervision;
