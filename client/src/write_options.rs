//! What a mutation is sent with: its idempotency key, and the version that it is meant for.

use hyper::header::{HeaderName, IF_MATCH, IF_NONE_MATCH};
use uuid::Uuid;

use super::answer::EntityTag;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The key and the condition of a mutation.
///
/// With a key the server carries the mutation out once, however often it is sent, and answers a repeat as it
/// answered the first. So only a mutation with a key is sent again after an answer was lost.
#[derive(Clone, Debug)]
pub struct WriteOptions {
    key: Option<String>,
    if_match: Option<EntityTag>,
    is_for_absent: bool,
}

impl WriteOptions {
    /// With a new random key: this client's own repeats are safe.
    pub fn new() -> Self {
        Self::keyed(Uuid::new_v4().to_string())
    }

    /// With a key of 1 to 255 visible ASCII characters that the caller keeps, so that a repeat after a restart
    /// of the caller is safe, too.
    pub fn keyed(key: impl Into<String>) -> Self {
        Self {
            key: Some(key.into()),
            if_match: None,
            is_for_absent: false,
        }
    }

    /// Without a key. It is sent again only if it surely wasn't carried out.
    pub fn unkeyed() -> Self {
        Self {
            key: None,
            if_match: None,
            is_for_absent: false,
        }
    }

    /// With `key` if there is one, else without.
    pub fn maybe_keyed(key: Option<String>) -> Self {
        key.map_or_else(Self::unkeyed, Self::keyed)
    }

    /// Only if the order or item still has this version (`If-Match`); else it is refused as
    /// `precondition-failed`. Steps, cancellations and what is on hand take it, the other calls refuse it.
    #[must_use]
    pub fn if_match(mut self, tag: impl Into<EntityTag>) -> Self {
        self.if_match = Some(tag.into());
        self
    }

    /// Only if the item doesn't exist yet (`If-None-Match: *`). Only what is on hand takes it.
    #[must_use]
    pub fn if_absent(mut self) -> Self {
        self.is_for_absent = true;
        self
    }

    /// The key that it is sent with.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// The headers that say all this.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (HeaderName, String)> {
        let key = self.key.clone().map(|key| (IDEMPOTENCY_KEY, key));
        let tag = self.if_match.as_ref();
        let tag = tag.map(|tag| (IF_MATCH, tag.to_string()));
        let absent = self.is_for_absent.then(|| (IF_NONE_MATCH, "*".into()));
        key.into_iter().chain(tag).chain(absent)
    }
}

impl Default for WriteOptions {
    fn default() -> Self {
        Self::new()
    }
}
