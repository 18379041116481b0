//! Why an access token proves nobody.

use thiserror::Error;

/// Why an access token proves nobody. The text goes into the challenge, so it tells nothing of what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TokenFault {
    /// It is longer than any good one.
    #[error("the access token is longer than 8 KiB")]
    TooLong,
    /// It isn't a signed JWT, or its JSON has a claim twice.
    #[error("the credential is neither an API key nor an access token")]
    Malformed,
    /// The header names an algorithm that its issuer may not use.
    #[error("the access token's algorithm isn't allowed")]
    Algorithm,
    /// The header's `crit` asks for what isn't done here (RFC 7515, 4.1.11).
    #[error("the access token has a critical header")]
    Critical,
    /// The header's `typ` isn't an access token's, or the claims are those of another kind of token.
    #[error("the token is no access token")]
    Kind,
    /// Its issuer isn't one of ours.
    #[error("the access token's issuer isn't trusted")]
    Issuer,
    /// Its issuer has no such key.
    #[error("the access token's key isn't known")]
    Key,
    /// The signature is another's.
    #[error("the access token's signature is wrong")]
    Signature,
    /// It is for somebody else.
    #[error("the access token is for another audience")]
    Audience,
    /// It is too old.
    #[error("the access token has expired")]
    Expired,
    /// Its time is still to come.
    #[error("the access token isn't valid yet")]
    NotYet,
    /// A time that it must have is missing, or one that it has is no number.
    #[error("exp, nbf or iat of the access token is missing or no number")]
    Time,
    /// It names nobody, or nobody that can be shown.
    #[error("sub of the access token must be 1 to 255 printable ASCII characters")]
    Subject,
    /// It gives no role that is known.
    #[error("the access token gives no role that is known")]
    Role,
    /// What the role is about is missing, malformed or another role's.
    #[error("the access token's role lacks its scope, or has another's")]
    Scope,
}

impl TokenFault {
    /// Its name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooLong => "too-long",
            Self::Malformed => "malformed",
            Self::Algorithm => "algorithm",
            Self::Critical => "critical",
            Self::Kind => "kind",
            Self::Issuer => "issuer",
            Self::Key => "key",
            Self::Signature => "signature",
            Self::Audience => "audience",
            Self::Expired => "expired",
            Self::NotYet => "not-yet",
            Self::Time => "time",
            Self::Subject => "subject",
            Self::Role => "role",
            Self::Scope => "scope",
        }
    }
}
