//! How a process finds out who somebody is.

use std::sync::Arc;

use trackops_domain::access::Caller;

use super::audit::AuditLog;
use super::key_cache::KeyCache;
use super::refusal::Refusal;

/// How a process finds out who somebody is, and where it keeps what was denied. Cheap to clone.
#[derive(Clone)]
pub struct Auth {
    pub(super) who: Who,
    /// What was done and denied.
    pub audit: AuditLog,
}

#[derive(Clone)]
pub(super) enum Who {
    /// Nobody has to prove anything: everybody is this caller.
    Open(Caller),
    /// Everybody needs a key.
    Required(Arc<KeyCache>),
}

impl Auth {
    /// Everybody is the service `anonymous`.
    pub fn open(audit: AuditLog) -> Self {
        let who = Who::Open(Caller::anonymous());
        Self { who, audit }
    }

    /// Everybody needs a key.
    pub fn required(keys: Arc<KeyCache>, audit: AuditLog) -> Self {
        let who = Who::Required(keys);
        Self { who, audit }
    }

    /// Whether everybody needs a credential.
    pub const fn is_required(&self) -> bool {
        matches!(self.who, Who::Required(_))
    }

    /// Whether the database has to be asked about this credential.
    pub fn has_to_look_up(&self, credential: Option<&str>) -> bool {
        match (&self.who, credential) {
            (Who::Required(keys), Some(credential)) => keys.has_to_look_up(credential),
            _ => false,
        }
    }

    /// The caller whose credential this is.
    pub async fn identify(&self, credential: Option<&str>) -> Result<Caller, Refusal> {
        match &self.who {
            Who::Open(everybody) => Ok(everybody.clone()),
            Who::Required(keys) => {
                let credential = credential.ok_or(Refusal::Missing)?;
                keys.identify(credential).await.map(|proven| proven.caller)
            }
        }
    }
}
