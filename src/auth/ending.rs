//! When the credential of a session ends. A session that stays open for hours is told, where a request is asked
//! for its credential each time.

use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::watch;
use tokio::time::{Duration, Instant, sleep_until};
use trackops_domain::access::Caller;

use super::identify::{Auth, Who};
use super::key_cache::{KeyCache, Proven};
use super::refusal::Refusal;

/// How soon a credential is looked at again that nobody could tell of.
const RETRY: Duration = Duration::from_secs(1);

/// How often a credential is looked at that has no end of its own and that nobody has revoked: to be sure.
const LOOK_EVERY: Duration = Duration::from_hours(1);

/// Watches the credential of one session.
pub struct Ending {
    keys: Arc<KeyCache>,
    credential: SecretString,
    changes: watch::Receiver<i64>,
    /// When it is to be looked at next; at once if its end isn't known yet.
    look_at: Instant,
}

impl Ending {
    /// Watches `credential`; `None` where nobody needs one.
    pub fn of(auth: &Auth, credential: &str) -> Option<Self> {
        let Who::Required(keys) = &auth.who else {
            return None;
        };
        Some(Self {
            keys: Arc::clone(keys),
            credential: credential.into(),
            changes: keys.changes(),
            look_at: Instant::now(),
        })
    }

    /// Returns when the credential has ended, with the reason. While nobody can tell, the session goes on. May be
    /// dropped and called again at any time: a look that was due then stays due.
    pub async fn ended(&mut self) -> Refusal {
        loop {
            tokio::select! {
                biased;
                changed = self.changes.changed() => {
                    if changed.is_err() {
                        // The process is ending, and with it the session.
                        return std::future::pending().await;
                    }
                    self.look_at = Instant::now();
                }
                () = sleep_until(self.look_at) => {}
            }
            match self.keys.identify(self.credential.expose_secret()).await {
                Ok(proven) => self.look_at = Instant::now() + self.left(&proven),
                Err(Refusal::Unavailable) => self.look_at = Instant::now() + RETRY,
                Err(refusal) => return refusal,
            }
        }
    }

    /// How long the proof still holds.
    fn left(&self, proven: &Proven) -> Duration {
        let left = proven.until.map(|end| end.since(self.keys.now()));
        left.unwrap_or(LOOK_EVERY).min(LOOK_EVERY)
    }

    /// Goes on with `credential`, if it is the same caller's.
    pub async fn renew(&mut self, caller: &Caller, credential: &str) -> Result<bool, Refusal> {
        let proven = self.keys.identify(credential).await?;
        let is_same = proven.caller == *caller;
        if is_same {
            self.credential = credential.into();
            self.look_at = Instant::now() + self.left(&proven);
        }
        Ok(is_same)
    }
}
