//! The port to the tokens that all replicas share: each request of a limited caller costs one. Replicas draw several
//! at once and spend them by themselves.

use async_trait::async_trait;
use thiserror::Error;

use super::journal::BoxError;

/// What is drawn from which bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draw {
    /// The bucket: one a caller and class.
    pub bucket: String,
    /// Microseconds in which it gets one more token.
    pub interval_us: u64,
    /// How many it holds.
    pub burst: u32,
    /// How many are wanted.
    pub wanted: u32,
}

/// What was drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// How many: all that were wanted, or as many as there were.
    pub granted: u32,
    /// Microseconds until the bucket is full again, if nobody draws.
    pub full_in_us: u64,
}

/// The store failed or was too slow. It may have granted the tokens all the same.
#[derive(Debug, Error)]
#[error("shared tokens can't be drawn")]
pub struct TokensError(#[source] pub BoxError);

/// The shared buckets. The time is the store's alone, so that the clocks of replicas don't matter.
#[async_trait]
pub trait TokenStore: Send + Sync + 'static {
    /// Takes tokens from a bucket, which is full if it isn't known.
    async fn draw(&self, draw: &Draw) -> Result<Drawn, TokensError>;
}
