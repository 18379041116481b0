//! The port to what is stored of who may do what. Leaves checking credentials to [`crate::auth`].

use async_trait::async_trait;
use thiserror::Error;
use trackops_domain::time::Timestamp;

use crate::model::access::{ApiKey, AuditEntry};

/// Why the store failed.
#[derive(Debug, Error)]
pub enum AccessError {
    /// The database can't be reached.
    #[error("the database of keys is away")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What is stored can't be understood.
    #[error("what is stored of a key can't be read")]
    Corrupt(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The keys' and the audit's store.
#[async_trait]
pub trait AccessStore: Send + Sync + 'static {
    /// Stores a new key.
    async fn create_key(&self, key: &ApiKey) -> Result<(), AccessError>;

    /// The key of that id, also one that isn't valid any more.
    async fn find_key(&self, id: &str) -> Result<Option<ApiKey>, AccessError>;

    /// At most `limit` keys after `after`, by id.
    async fn list_keys(&self, after: &str, limit: u32) -> Result<Vec<ApiKey>, AccessError>;

    /// Ends a key. `false` if there is no such key; a key that is revoked already keeps its time.
    async fn revoke_key(&self, id: &str, at: Timestamp) -> Result<bool, AccessError>;

    /// A number that rises with every key that is made or revoked.
    async fn revision(&self) -> Result<i64, AccessError>;

    /// Stores what was done or denied.
    async fn append_audit(&self, entries: &[AuditEntry]) -> Result<(), AccessError>;

    /// At most `limit` entries before the one numbered `before`, the youngest first, each with its number.
    async fn list_audit(
        &self,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<(i64, AuditEntry)>, AccessError>;
}
