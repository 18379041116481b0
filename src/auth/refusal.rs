//! Why a credential is refused.

use thiserror::Error;

use super::token_fault::TokenFault;

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
    /// It is an access token that proves nobody.
    #[error(transparent)]
    Token(#[from] TokenFault),
    /// The keys of a token's issuer can't be had now, so nobody can tell.
    #[error("access tokens can't be checked: their issuer is away")]
    IssuerAway,
}

impl Refusal {
    /// Whether nobody can tell now whose the credential is.
    pub const fn is_unknown_yet(self) -> bool {
        matches!(self, Self::Unavailable | Self::IssuerAway)
    }

    /// Whether the credential's time is over.
    pub const fn is_end_of_time(self) -> bool {
        matches!(self, Self::Expired | Self::Token(TokenFault::Expired))
    }
}
