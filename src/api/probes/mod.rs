//! Liveness, readiness, start and metrics, for orchestrators, on the management listener.

pub mod readiness;
