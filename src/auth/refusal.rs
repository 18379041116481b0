//! Why a credential is refused.

use thiserror::Error;

/// Why nobody is who they say they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// There is no credential.
    #[error("a credential is needed")]
    Missing,
    /// The header is no single `Bearer` credential.
    #[error("Authorization must be one Bearer credential")]
    Malformed,
    /// The credential has no form that is known.
    #[error("the credential is no API key")]
    NoKey,
    /// No key of that id, or another secret.
    #[error("the key isn't known")]
    Unknown,
    /// Its time is over.
    #[error("the key has expired")]
    Expired,
    /// Somebody has revoked it.
    #[error("the key was revoked")]
    Revoked,
    /// The keys can't be read now, so nobody can tell.
    #[error("keys can't be checked: their database is away")]
    Unavailable,
}
