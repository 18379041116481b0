//! Who somebody is: checks credentials and says which caller they prove, and keeps what was denied. Leaves
//! finding the credential in a request to `api`, and what a caller may do to `domain`.

pub mod api_key;
pub mod audit;
mod ending;
pub mod key_cache;
mod refusal;
pub mod role_words;
pub mod tracking_links;

use std::sync::Arc;

use trackops_domain::access::Caller;

use self::audit::AuditLog;
pub use self::ending::Ending;
use self::key_cache::KeyCache;
pub use self::refusal::Refusal;

/// How a process finds out who somebody is, and where it keeps what was denied. Cheap to clone.
#[derive(Clone)]
pub struct Auth {
    who: Who,
    /// What was done and denied.
    pub audit: AuditLog,
}

#[derive(Clone)]
enum Who {
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

    /// The caller whose credential this is.
    pub async fn identify(&self, credential: Option<&str>) -> Result<Caller, Refusal> {
        match &self.who {
            Who::Open(everybody) => Ok(everybody.clone()),
            Who::Required(keys) => keys.identify(credential.ok_or(Refusal::Missing)?).await,
        }
    }
}
