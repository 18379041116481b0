//! A readiness check as `/readyz` and the problem of a replica that is not ready show it. The checks
//! themselves are in [`super::readiness`].

use crate::api::schemas::CheckStatus;
use serde::Serialize;
use utoipa::ToSchema;

use super::readiness::CheckResult;

/// What a check found.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ReadinessCheck)]
pub struct CheckView {
    /// What was looked at.
    #[schema(value_type = String, example = "postgres")]
    pub name: &'static str,
    /// `ready`, `degraded` or `unready`.
    #[schema(value_type = CheckStatus)]
    pub status: &'static str,
    /// Why it isn't ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl CheckView {
    pub(super) fn of(name: &'static str, verdict: CheckResult) -> Self {
        let (status, reason) = match verdict {
            CheckResult::Ready => ("ready", None),
            CheckResult::Degraded(reason) => ("degraded", Some(reason)),
            CheckResult::Unready(reason) => ("unready", Some(reason)),
        };
        Self {
            name,
            status,
            reason,
        }
    }
}
