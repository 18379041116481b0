//! When the credential of a session ends. A session that stays open for hours is told, where a request is asked
//! for its credential each time.

use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::watch;
use tokio::time::{Duration, Instant, sleep_until};
use trackops_domain::access::Caller;

use super::identify::{Auth, Who};
use super::refusal::Refusal;

/// How often a credential is looked at that nobody has revoked: it also ends by itself.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Watches the credential of one session.
pub struct Ending {
    auth: Auth,
    credential: SecretString,
    changes: watch::Receiver<i64>,
    /// When it is to be looked at next.
    look_at: Instant,
}

impl Ending {
    /// Watches `credential`; `None` where nobody needs one.
    pub fn of(auth: &Auth, credential: &str) -> Option<Self> {
        let Who::Required(keys) = &auth.who else {
            return None;
        };
        Some(Self {
            auth: auth.clone(),
            credential: credential.into(),
            changes: keys.changes(),
            look_at: Instant::now() + LOOK_EVERY,
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
            let credential = Some(self.credential.expose_secret());
            let found = self.auth.identify(credential).await;
            self.look_at = Instant::now() + LOOK_EVERY;
            if let Err(refusal) = found
                && refusal != Refusal::Unavailable
            {
                return refusal;
            }
        }
    }

    /// Goes on with `credential`, if it is the same caller's.
    pub async fn renew(&mut self, caller: &Caller, credential: &str) -> Result<bool, Refusal> {
        let found = self.auth.identify(Some(credential)).await?;
        let is_same = found == *caller;
        if is_same {
            self.credential = credential.into();
        }
        Ok(is_same)
    }
}
