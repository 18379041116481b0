//! Access tokens of OIDC issuers (RFC 6750, 7519, 8725, 9068). A token is verified once and then known by its hash, so
//! that a request needs neither the issuer nor a signature.

mod claims;
mod compact;
pub mod https;
mod issuer;
mod jwk;
pub mod source;

use std::sync::Arc;
use std::time::Duration;

use metrics::Counter;
use moka::sync::Cache;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use trackops_domain::time::Timestamp;

use self::claims::Claimed;
use self::compact::Compact;
use self::issuer::Issuer;
use self::source::DocumentSource;
use super::proven::Proven;
use super::refusal::Refusal;
use super::token_fault::TokenFault;
use crate::config::OidcIssuer;
use crate::ports::clock::Clock;
use crate::telemetry::names;

/// Verified tokens in memory; each has some 500 bytes.
const VERIFIED_MAX: u64 = 10_000;

/// How long a token is known. A key that its issuer has removed goes on for so long, and until the keys are fetched.
const VERIFIED_FOR: Duration = Duration::from_secs(60);

/// Finds out whose access token one is.
pub struct AccessTokens {
    issuers: Vec<Arc<Issuer>>,
    clock: Arc<dyn Clock>,
    /// By the hash of the token: a copy of this memory opens nothing.
    verified: Cache<[u8; 32], Arc<Verified>>,
    /// Tokens that were known.
    known: Counter,
}

struct Verified {
    claimed: Claimed,
    at: Instant,
}

impl AccessTokens {
    /// Takes the tokens of `issuers`. [`Self::keep_fresh`] has to be called once.
    pub fn new(
        issuers: Vec<OidcIssuer>,
        source: &Arc<dyn DocumentSource>,
        clock: Arc<dyn Clock>,
    ) -> Arc<Self> {
        let issuers = issuers.into_iter();
        Arc::new(Self {
            issuers: issuers
                .map(|issuer| Issuer::new(issuer, Arc::clone(source)))
                .collect(),
            clock,
            verified: Cache::builder()
                .max_capacity(VERIFIED_MAX)
                .time_to_live(VERIFIED_FOR)
                .build(),
            known: metrics::counter!(names::ACCESS_TOKENS, "outcome" => "known"),
        })
    }

    /// Fetches the issuers' keys in the background, until `stop`.
    pub fn keep_fresh(&self, stop: &CancellationToken) {
        for issuer in &self.issuers {
            tokio::spawn(Arc::clone(issuer).keep_fresh(stop.clone()));
        }
    }

    /// The time by which tokens end.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whose token `text` is.
    pub async fn identify(&self, text: &str) -> Result<Proven, Refusal> {
        let hash = Sha256::digest(text).into();
        if let Some(verified) = self.verified.get(&hash)
            && verified.at.elapsed() < VERIFIED_FOR
            && self.clock.now() < verified.claimed.expires_at
        {
            self.known.increment(1);
            return Ok(proven(&verified.claimed));
        }
        let verified = self.verify(text).await;
        let outcome = match &verified {
            Ok(_) => "verified",
            Err(Refusal::Token(fault)) => fault.as_str(),
            Err(_) => "issuer-away",
        };
        metrics::counter!(names::ACCESS_TOKENS, "outcome" => outcome).increment(1);
        let claimed = verified?;
        let proven = proven(&claimed);
        let at = Instant::now();
        self.verified
            .insert(hash, Arc::new(Verified { claimed, at }));
        Ok(proven)
    }

    async fn verify(&self, text: &str) -> Result<Claimed, Refusal> {
        let token = Compact::parse(text)?;
        let name = token.claims.text("iss").unwrap_or_default();
        let mut issuers = self.issuers.iter();
        let issuer = issuers
            .find(|issuer| *issuer.name == *name)
            .ok_or(TokenFault::Issuer)?;
        if !issuer.config.algorithms.contains(&token.algorithm) {
            return Err(TokenFault::Algorithm.into());
        }
        issuer.check_signature(&token).await?;
        let now = self.clock.now();
        Ok(claims::read(&issuer.config, &issuer.name, &token, now)?)
    }
}

fn proven(claimed: &Claimed) -> Proven {
    Proven {
        caller: claimed.caller.clone(),
        until: Some(claims::later(claimed.expires_at)),
    }
}
