//! Who somebody is: checks credentials and says which caller they prove. Leaves finding the credential in a
//! request to `api`, and what a caller may do to `domain`.

pub mod api_key;
pub mod key_cache;
mod refusal;

use std::sync::Arc;

use tokio::sync::watch;
use trackops_domain::access::Caller;

use self::key_cache::KeyCache;
pub use self::refusal::Refusal;

/// How this process finds out who somebody is. Cheap to clone.
#[derive(Clone)]
pub enum Auth {
    /// Nobody has to prove anything: everybody is this caller.
    Open(Caller),
    /// Everybody needs an API key.
    Required(Arc<KeyCache>),
}

impl Auth {
    /// Everybody is the service `anonymous`.
    pub fn open() -> Self {
        Self::Open(Caller::anonymous())
    }

    /// The caller whose credential this is.
    pub async fn identify(&self, credential: Option<&str>) -> Result<Caller, Refusal> {
        match self {
            Self::Open(everybody) => Ok(everybody.clone()),
            Self::Required(keys) => keys.identify(credential.ok_or(Refusal::Missing)?).await,
        }
    }

    /// Whether everybody needs a credential.
    pub const fn is_required(&self) -> bool {
        matches!(self, Self::Required(_))
    }

    /// Changes whenever a credential may have ended; `None` where none ever does.
    pub fn changes(&self) -> Option<watch::Receiver<i64>> {
        match self {
            Self::Open(_) => None,
            Self::Required(keys) => Some(keys.changes()),
        }
    }
}
