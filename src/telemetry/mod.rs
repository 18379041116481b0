//! Logs, metrics and the counters of the invariants.

mod describe;
pub mod logs;
pub mod names;
pub mod prometheus;

pub use describe::zeros_of_orders;
// The crate `cluster` tells of its failures in the same way.
pub use trackops_cluster::{outage, repeated};
use trackops_domain::invariants::Invariant;

/// Counts and logs a broken invariant: a defect of ours that somebody must look at.
pub fn violated(invariant: Invariant, detail: &str) {
    metrics::counter!(names::INVARIANT_VIOLATIONS, "invariant" => invariant.id()).increment(1);
    tracing::error!(invariant = invariant.id(), detail, "invariant violated");
}
