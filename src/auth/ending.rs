//! When the credential of a session ends. A session that stays open for hours is told, where a request is asked
//! for its credential each time.

use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::watch;
use tokio::time::{Duration, sleep};
use trackops_domain::access::Caller;

use super::refusal::Refusal;
use super::{Auth, Who};

/// A credential also ends by itself, so it is looked at so often at least.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Watches the credential of one session.
pub struct Ending {
    auth: Auth,
    credential: SecretString,
    changes: watch::Receiver<i64>,
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
        })
    }

    /// Returns when the credential has ended, with the reason. While nobody can tell, the session goes on.
    pub async fn ended(&mut self) -> Refusal {
        loop {
            tokio::select! {
                changed = self.changes.changed() => {
                    if changed.is_err() {
                        // The process is ending, and with it the session.
                        return std::future::pending().await;
                    }
                }
                () = sleep(LOOK_EVERY) => {}
            }
            let now = self
                .auth
                .identify(Some(self.credential.expose_secret()))
                .await;
            if let Err(refusal) = now
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
