//! How a process finds out who somebody is.

use std::sync::Arc;

use trackops_domain::access::Caller;

use super::api_key;
use super::audit::AuditLog;
use super::key_cache::KeyCache;
use super::proven::Proven;
use super::refusal::Refusal;
use super::tokens::AccessTokens;

/// How a process finds out who somebody is, and where it keeps what was denied. Cheap to clone.
#[derive(Clone)]
pub struct Auth {
    pub(super) who: Who,
    /// What was done and denied.
    pub audit: AuditLog,
}

#[derive(Clone)]
pub(super) enum Who {
    /// Nobody has to prove anything: everybody is this caller.
    Open(Caller),
    /// Everybody needs a credential.
    Required(Credentials),
}

/// The credentials that are taken. Cheap to clone.
#[derive(Clone)]
pub(super) struct Credentials {
    keys: Arc<KeyCache>,
    /// `None` where no issuer is trusted.
    tokens: Option<Arc<AccessTokens>>,
}

/// What checks a credential, by its form.
pub(super) enum Checks<'a> {
    Keys(&'a Arc<KeyCache>),
    Tokens(&'a Arc<AccessTokens>),
}

impl Credentials {
    /// What checks `credential`. Everything that has a key's prefix is a key: it goes to no issuer's checks.
    pub(super) fn checks(&self, credential: &str) -> Checks<'_> {
        match &self.tokens {
            Some(tokens) if !credential.starts_with(api_key::PREFIX) => Checks::Tokens(tokens),
            _ => Checks::Keys(&self.keys),
        }
    }

    /// Whose `credential` is, and until when.
    pub(super) async fn identify(&self, credential: &str) -> Result<Proven, Refusal> {
        match self.checks(credential) {
            Checks::Keys(keys) => keys.identify(credential).await,
            Checks::Tokens(tokens) => tokens.identify(credential).await,
        }
    }
}

impl Auth {
    /// Everybody is the service `anonymous`.
    pub fn open(audit: AuditLog) -> Self {
        let who = Who::Open(Caller::anonymous());
        Self { who, audit }
    }

    /// Everybody needs a key, or an access token if some are taken.
    pub fn required(
        keys: Arc<KeyCache>,
        tokens: Option<Arc<AccessTokens>>,
        audit: AuditLog,
    ) -> Self {
        let who = Who::Required(Credentials { keys, tokens });
        Self { who, audit }
    }

    /// Whether everybody needs a credential.
    pub const fn is_required(&self) -> bool {
        matches!(self.who, Who::Required(_))
    }

    /// Whether the database has to be asked about this credential.
    pub fn has_to_look_up(&self, credential: Option<&str>) -> bool {
        match (&self.who, credential) {
            (Who::Required(credentials), Some(text)) => credentials.keys.has_to_look_up(text),
            _ => false,
        }
    }

    /// The caller whose credential this is.
    pub async fn identify(&self, credential: Option<&str>) -> Result<Caller, Refusal> {
        match &self.who {
            Who::Open(everybody) => Ok(everybody.clone()),
            Who::Required(credentials) => {
                let credential = credential.ok_or(Refusal::Missing)?;
                let proven = credentials.identify(credential).await?;
                Ok(proven.caller)
            }
        }
    }
}
