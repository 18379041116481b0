//! What the server answered to a call that succeeded.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{AGE, ETAG, HeaderMap};

/// A version of an order or an item, as the header `ETag` has it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EntityTag(String);

impl EntityTag {
    /// The tag as it is on the wire, in quotes.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The version that it names.
    pub fn version(&self) -> Option<u64> {
        let digits = self.0.strip_prefix('"')?.strip_suffix('"')?;
        digits.parse().ok()
    }
}

impl From<u32> for EntityTag {
    fn from(version: u32) -> Self {
        u64::from(version).into()
    }
}

impl From<u64> for EntityTag {
    fn from(version: u64) -> Self {
        Self(format!("\"{version}\""))
    }
}

impl fmt::Display for EntityTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The answer to a call that succeeded.
#[derive(Clone, Debug)]
pub struct Answer<T> {
    /// What it says.
    pub value: T,
    status: u16,
    etag: Option<EntityTag>,
    age: Option<Duration>,
    is_replay: bool,
    body: Bytes,
}

impl Answer<()> {
    /// An answer that isn't read yet.
    pub(crate) fn unread(status: u16, headers: &HeaderMap, body: Bytes) -> Self {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let age = text(AGE).and_then(|seconds| seconds.parse().ok());
        Self {
            value: (),
            status,
            etag: text(ETAG).map(|tag| EntityTag(tag.into())),
            age: age.map(Duration::from_secs),
            is_replay: headers.contains_key("idempotency-replayed"),
            body,
        }
    }
}

impl<T> Answer<T> {
    /// The HTTP status, of the 200s.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The version that it shows, for [`WriteOptions::if_match`](crate::WriteOptions::if_match).
    pub fn etag(&self) -> Option<&EntityTag> {
        self.etag.as_ref()
    }

    /// How old the order may be as it is shown. Only a replica that is cut off from its database says so.
    pub fn age(&self) -> Option<Duration> {
        self.age
    }

    /// Whether it repeats the answer to an earlier request with the same key: nothing happened this time.
    pub fn is_replay(&self) -> bool {
        self.is_replay
    }

    /// The body, with every field that the server sent; empty for one that sends none.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The same answer with another value.
    pub(crate) fn with<U>(self, value: U) -> Answer<U> {
        Answer {
            value,
            status: self.status,
            etag: self.etag,
            age: self.age,
            is_replay: self.is_replay,
            body: self.body,
        }
    }
}
