//! On whose behalf a replica asks another.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use trackops_domain::access::{Caller, Principal, Subject};

use super::envelope::LinkFormError;
use crate::codec::role::RoleV1;

/// Somebody at the API. A part of TrackOps isn't sent: its name in a command's `by` is enough.
#[derive(Serialize, Deserialize)]
pub(super) struct CallerV1 {
    #[serde(flatten)]
    role: RoleV1,
    name: Arc<str>,
    issuer: Arc<str>,
}

impl CallerV1 {
    pub(super) fn of(caller: &Caller) -> Option<Self> {
        let Caller::Principal(principal) = caller else {
            return None;
        };
        Some(Self {
            role: RoleV1::of(&principal.role),
            name: Arc::clone(&principal.subject.name),
            issuer: Arc::clone(&principal.subject.issuer),
        })
    }

    /// The caller; the part of TrackOps of that name if none was sent. A replica of an earlier version sends
    /// none, and has let everybody do everything.
    pub(super) fn read_or(
        given: Option<Self>,
        name: impl Into<Arc<str>>,
    ) -> Result<Caller, LinkFormError> {
        let Some(Self { role, name, issuer }) = given else {
            return Ok(Caller::Internal(name.into()));
        };
        let role = role.read().ok_or(LinkFormError::Impossible("caller"))?;
        Ok(Principal::new(Subject { issuer, name }, role).into())
    }
}
