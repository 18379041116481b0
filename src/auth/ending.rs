//! When the credential of a session ends. A session that stays open for hours is told, where a request is asked
//! for its credential each time. A key ends at its time or when somebody revokes it, an access token at its time alone.

use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::watch;
use tokio::time::{Duration, Instant, sleep_until};
use trackops_domain::access::Caller;
use trackops_domain::time::Timestamp;

use super::identify::{Auth, Checks, Credentials, Who};
use super::key_cache::KeyCache;
use super::proven::Proven;
use super::refusal::Refusal;
use super::token_fault::TokenFault;
use super::tokens::AccessTokens;

/// How soon a credential is looked at again that nobody could tell of.
const RETRY: Duration = Duration::from_secs(1);

/// How often a credential is looked at that has no end of its own and that nobody has revoked: to be sure. Also the
/// longest sleep before an end: the clock that it goes by may be set.
const LOOK_EVERY: Duration = Duration::from_hours(1);

/// Watches the credential of one session.
pub struct Ending {
    credentials: Credentials,
    watched: Watched,
    /// When it is to be looked at next; at once if its end isn't known yet.
    look_at: Instant,
}

enum Watched {
    Key {
        keys: Arc<KeyCache>,
        credential: SecretString,
        changes: watch::Receiver<i64>,
    },
    Token {
        tokens: Arc<AccessTokens>,
        credential: SecretString,
        /// Its end, once it was verified: from then on nothing else can end it, and nobody has to be asked.
        until: Option<Timestamp>,
    },
}

impl Watched {
    fn of(credentials: &Credentials, text: &str) -> Self {
        let credential = text.into();
        match credentials.checks(text) {
            Checks::Keys(keys) => Self::Key {
                keys: Arc::clone(keys),
                credential,
                changes: keys.changes(),
            },
            Checks::Tokens(tokens) => Self::Token {
                tokens: Arc::clone(tokens),
                credential,
                until: None,
            },
        }
    }

    /// Returns when the credential may have changed. An error if the process is ending.
    async fn changed(&mut self) -> Result<(), watch::error::RecvError> {
        match self {
            Self::Key { changes, .. } => changes.changed().await,
            Self::Token { .. } => std::future::pending().await,
        }
    }

    /// How long the credential still holds, or why it has ended.
    async fn look(&mut self) -> Result<Duration, Refusal> {
        match self {
            Self::Key {
                keys, credential, ..
            } => {
                let proven = keys.identify(credential.expose_secret()).await?;
                Ok(left(proven.until, keys.now()))
            }
            Self::Token {
                tokens,
                credential,
                until,
            } => {
                if until.is_none() {
                    *until = tokens.identify(credential.expose_secret()).await?.until;
                }
                let now = tokens.now();
                if until.is_some_and(|until| until <= now) {
                    return Err(TokenFault::Expired.into());
                }
                Ok(left(*until, now))
            }
        }
    }
}

fn left(until: Option<Timestamp>, now: Timestamp) -> Duration {
    let left = until.map(|end| end.since(now));
    left.unwrap_or(LOOK_EVERY).min(LOOK_EVERY)
}

impl Ending {
    /// Watches `credential`; `None` where nobody needs one.
    pub fn of(auth: &Auth, credential: &str) -> Option<Self> {
        let Who::Required(credentials) = &auth.who else {
            return None;
        };
        Some(Self {
            credentials: credentials.clone(),
            watched: Watched::of(credentials, credential),
            look_at: Instant::now(),
        })
    }

    /// Returns when the credential has ended, with the reason. While nobody can tell, the session goes on. May be
    /// dropped and called again at any time: a look that was due then stays due.
    pub async fn ended(&mut self) -> Refusal {
        loop {
            tokio::select! {
                biased;
                changed = self.watched.changed() => {
                    if changed.is_err() {
                        // The process is ending, and with it the session.
                        return std::future::pending().await;
                    }
                    self.look_at = Instant::now();
                }
                () = sleep_until(self.look_at) => {}
            }
            match self.watched.look().await {
                Ok(left) => self.look_at = Instant::now() + left,
                Err(refusal) if refusal.is_unknown_yet() => self.look_at = Instant::now() + RETRY,
                Err(refusal) => return refusal,
            }
        }
    }

    /// Goes on with `credential`, if it is of the same kind and the same caller's: the same name of the same issuer, with
    /// the same role and scope.
    pub async fn renew(&mut self, caller: &Caller, credential: &str) -> Result<bool, Refusal> {
        let Proven { caller: other, .. } = self.credentials.identify(credential).await?;
        let is_same = other == *caller;
        if is_same {
            self.watched = Watched::of(&self.credentials, credential);
            self.look_at = Instant::now();
        }
        Ok(is_same)
    }
}
