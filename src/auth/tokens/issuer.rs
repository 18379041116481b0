//! One issuer: its keys in memory, fetched now and then, and at once for a key that isn't known. However many tokens
//! name unknown keys, they share one fetch in [`ASK_EVERY`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use trackops_cluster::outage::causes;
use trackops_cluster::repeated::RepeatedLog;
use url::Url;

use super::compact::Compact;
use super::jwk::KeySet;
use super::source::{Document, DocumentSource, FetchError};
use crate::auth::refusal::Refusal;
use crate::auth::token_fault::TokenFault;
use crate::config::{OidcIssuer, oidc};
use crate::telemetry::names;

/// How often unknown keys cause a fetch.
const ASK_EVERY: Duration = Duration::from_secs(10);

/// The longest that a request waits for a fetch.
const WAIT: Duration = Duration::from_millis(2_500);

/// The longest that a fetch takes, with both documents.
const FETCH_LIMIT: Duration = Duration::from_secs(4);

/// How often keys are fetched, unless the issuer says for how long they are good, within the bounds.
const REFRESH_EVERY: Duration = Duration::from_mins(5);
const REFRESH_MIN: Duration = Duration::from_mins(1);
const REFRESH_MAX: Duration = Duration::from_mins(15);

/// The longest pause after a failure; it begins with a second and doubles.
const RETRY_MAX: Duration = Duration::from_mins(1);

/// How long the last good keys go on while the issuer is away.
const KEPT: Duration = Duration::from_hours(1);

/// How often the age of the keys is told.
const TELL_EVERY: Duration = Duration::from_secs(15);

/// An issuer and its keys.
pub struct Issuer {
    /// How it is configured.
    pub config: OidcIssuer,
    /// Its URL, as subjects have it.
    pub name: Arc<str>,
    source: Arc<dyn DocumentSource>,
    fetched: ArcSwapOption<Fetched>,
    /// Whether the last fetch failed.
    is_away: AtomicBool,
    asking: Mutex<Asking>,
    asked: Notify,
    /// Counts the fetches that have ended.
    fetches: watch::Sender<u64>,
}

struct Fetched {
    keys: KeySet,
    at: Instant,
}

struct Asking {
    /// When a fetch was asked for last.
    at: Option<Instant>,
    /// Whether it hasn't ended yet.
    is_open: bool,
    /// Whether some fetch hasn't ended yet, the first one from the start on.
    is_fetching: bool,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl Issuer {
    /// No keys yet. [`Self::keep_fresh`] has to run beside it.
    pub fn new(config: OidcIssuer, source: Arc<dyn DocumentSource>) -> Arc<Self> {
        Arc::new(Self {
            name: config.url.as_str().into(),
            config,
            source,
            fetched: ArcSwapOption::empty(),
            is_away: AtomicBool::new(false),
            asking: Mutex::new(Asking {
                at: None,
                is_open: false,
                is_fetching: true,
            }),
            asked: Notify::new(),
            fetches: watch::Sender::new(0),
        })
    }

    /// Whether the issuer has signed `token`. For a key that isn't known the keys are fetched, if that is due.
    pub async fn check_signature(&self, token: &Compact<'_>) -> Result<(), Refusal> {
        let give_up = Instant::now() + WAIT;
        let mut has_looked_again = false;
        loop {
            let mut ended = self.fetches.subscribe();
            let fetched = self.fetched.load_full();
            let fetched = fetched.filter(|fetched| fetched.at.elapsed() < KEPT);
            let has_keys = fetched.is_some();
            match fetched.and_then(|fetched| fetched.keys.has_signed(token)) {
                Some(true) => return Ok(()),
                Some(false) => return Err(TokenFault::Signature.into()),
                // Only the issuer knows whether the key is a new one.
                None => {}
            }
            let is_coming = self.ask(has_keys);
            if !is_coming && !has_looked_again {
                // The fetch that was asked for may have ended since the look.
                has_looked_again = true;
                continue;
            }
            if !is_coming || timeout_at(give_up, ended.changed()).await.is_err() {
                let is_away = self.is_away.load(Ordering::Relaxed);
                return Err(if has_keys && !is_away {
                    TokenFault::Key.into()
                } else {
                    Refusal::IssuerAway
                });
            }
        }
    }

    /// Asks for a fetch, unless there are no keys yet and any fetch will do. Returns whether there is something to wait
    /// for.
    fn ask(&self, has_keys: bool) -> bool {
        let mut asking = self.asking.lock();
        if !has_keys && asking.is_fetching {
            return true;
        }
        if asking.at.is_some_and(|at| at.elapsed() < ASK_EVERY) {
            return asking.is_open;
        }
        asking.at = Some(Instant::now());
        asking.is_open = true;
        self.asked.notify_one();
        true
    }

    /// Fetches the keys now and then and when asked, until `stop`.
    pub async fn keep_fresh(self: Arc<Self>, stop: CancellationToken) {
        let _ = stop.run_until_cancelled(self.fetch_forever()).await;
    }

    async fn fetch_forever(&self) {
        let log = RepeatedLog::new();
        let mut pause = Duration::from_secs(1);
        loop {
            let was_asked = {
                let mut asking = self.asking.lock();
                asking.is_fetching = true;
                asking.is_open
            };
            let fetched = timeout(FETCH_LIMIT, self.fetch()).await;
            let fetched = fetched.unwrap_or(Err(FetchError::TooSlow));
            let outcome = fetched.as_ref().map_or_else(FetchError::as_str, |_| "ok");
            let issuer = self.name.to_string();
            metrics::counter!(names::JWKS_FETCHES, "issuer" => issuer, "outcome" => outcome)
                .increment(1);
            self.is_away.store(fetched.is_err(), Ordering::Relaxed);
            let next = match fetched {
                Ok((keys, max_age)) => {
                    self.adopt(keys, &log);
                    pause = Duration::from_secs(1);
                    max_age.map_or(REFRESH_EVERY, |age| age.clamp(REFRESH_MIN, REFRESH_MAX))
                }
                Err(error) => {
                    self.tell(&error, &log);
                    let next = pause;
                    pause = (pause * 2).min(RETRY_MAX);
                    next
                }
            };
            {
                let mut asking = self.asking.lock();
                asking.is_fetching = false;
                asking.is_open &= !was_asked;
            }
            self.fetches.send_modify(|fetches| *fetches += 1);
            self.rest(Instant::now() + next).await;
        }
    }

    fn adopt(&self, keys: KeySet, log: &RepeatedLog) {
        if let Some(recovery) = log.recovered(Instant::now()) {
            let (issuer, count) = (&*self.name, recovery.count);
            tracing::info!(issuer, count, "an issuer's keys are fetched again");
        }
        if keys.len() == 0 {
            let issuer = &*self.name;
            tracing::warn!(issuer, "the issuer has no key that can be used");
        }
        let at = Instant::now();
        self.fetched.store(Some(Arc::new(Fetched { keys, at })));
    }

    fn tell(&self, error: &FetchError, log: &RepeatedLog) {
        if let Some(repeats) = log.failed(Instant::now()) {
            let (issuer, error, count) = (&*self.name, causes(error), repeats.count);
            tracing::warn!(issuer, error, count, "an issuer's keys can't be fetched");
        }
    }

    /// Returns at `end`, or when somebody asks for a fetch.
    async fn rest(&self, end: Instant) {
        while Instant::now() < end {
            if let Some(fetched) = &*self.fetched.load() {
                let issuer = self.name.to_string();
                metrics::gauge!(names::JWKS_AGE, "issuer" => issuer)
                    .set(fetched.at.elapsed().as_secs_f64());
            }
            let tell = end.min(Instant::now() + TELL_EVERY);
            tokio::select! {
                // A permit may be of a question that the fetch before has answered.
                () = self.asked.notified() => if self.asking.lock().is_open { return },
                () = sleep_until(tell) => {}
            }
        }
    }

    /// The keys, and for how long they are good if the issuer says so.
    async fn fetch(&self) -> Result<(KeySet, Option<Duration>), FetchError> {
        let url = match &self.config.jwks_url {
            Some(url) => url.clone(),
            None => self.discover().await?,
        };
        let Document { body, max_age } = self.source.get(&url).await?;
        match KeySet::parse(&body) {
            Some(keys) => Ok((keys, max_age)),
            None => Err(FetchError::Document {
                url,
                problem: "has no key set",
            }),
        }
    }

    /// Where the keys are (`OpenID` Connect Discovery, 4).
    async fn discover(&self) -> Result<Url, FetchError> {
        let issuer = self.name.trim_end_matches('/');
        let url = format!("{issuer}/.well-known/openid-configuration");
        let url: Url = url.parse().expect("the configuration was checked");
        let document = self.source.get(&url).await?;
        let wrong = |problem| FetchError::Document {
            url: url.clone(),
            problem,
        };
        let found: Discovery = serde_json::from_slice(&document.body)
            .map_err(|_| wrong("is no discovery document with issuer and jwks_uri"))?;
        if found.issuer != *self.name {
            return Err(wrong("is of another issuer"));
        }
        let keys = found.jwks_uri.parse().ok();
        // A document that came over HTTPS may not lead to this machine by HTTP.
        let is_safe = |keys: &Url| {
            oidc::is_safe(keys) && (keys.scheme() == "https" || url.scheme() == "http")
        };
        keys.filter(is_safe)
            .ok_or_else(|| wrong("has a jwks_uri that isn't https://"))
    }
}
