//! An issuer in memory: its documents, and how often they were fetched.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use trackops::auth::tokens::AccessTokens;
use trackops::auth::tokens::source::{Document, DocumentSource, FetchError};
use trackops::auth::{Refusal, TokenFault};
use trackops::config::oidc;
use trackops::ports::clock::Clock;
use url::Url;

use super::super::support::LeapingClock;
use super::signing_key::SigningKey;

/// Its URL.
pub const ISSUER: &str = "https://id.example/realms/shop";

/// An issuer that the test plays.
pub struct FakeIssuer {
    pub keys: Mutex<Vec<Value>>,
    pub discovery: Mutex<Value>,
    is_away: AtomicBool,
    fetches: AtomicUsize,
    strange: Mutex<Vec<Url>>,
    /// How long it takes to answer.
    delay: Duration,
}

impl FakeIssuer {
    pub fn of(keys: &[&SigningKey]) -> Arc<Self> {
        Self::slow(keys, Duration::ZERO)
    }

    pub fn slow(keys: &[&SigningKey], delay: Duration) -> Arc<Self> {
        let keys = keys.iter().map(|key| key.jwk()).collect();
        let jwks_uri = format!("{ISSUER}/keys");
        Arc::new(Self {
            keys: Mutex::new(keys),
            discovery: Mutex::new(json!({"issuer": ISSUER, "jwks_uri": jwks_uri})),
            is_away: AtomicBool::new(false),
            fetches: AtomicUsize::new(0),
            strange: Mutex::default(),
            delay,
        })
    }

    pub fn set_away(&self, is_away: bool) {
        self.is_away.store(is_away, Ordering::SeqCst);
    }

    /// From now on it has these keys.
    pub fn rotate(&self, keys: &[&SigningKey]) {
        *self.keys.lock() = keys.iter().map(|key| key.jwk()).collect();
    }

    /// How often its keys were fetched.
    pub fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }

    /// What was fetched that is none of its documents.
    pub fn strange(&self) -> Vec<Url> {
        self.strange.lock().clone()
    }

    /// What takes its tokens. Nothing is fetched yet.
    pub fn tokens(self: &Arc<Self>, options: &str, clock: Arc<dyn Clock>) -> Arc<AccessTokens> {
        let all = "algorithms=RS256,RS384,RS512,PS256,PS384,PS512,ES256,ES384,EdDSA";
        let issuers = oidc::parse(&format!("{ISSUER} audience=trackops {all} {options}"));
        let source: Arc<dyn DocumentSource> = Arc::clone(self) as _;
        AccessTokens::new(issuers.expect("valid"), &source, clock)
    }
}

#[async_trait]
impl DocumentSource for FakeIssuer {
    async fn get(&self, url: &Url) -> Result<Document, FetchError> {
        // Not a wait for something: the time that the issuer takes.
        tokio::time::sleep(self.delay).await;
        let document = match url.path() {
            "/realms/shop/keys" => {
                self.fetches.fetch_add(1, Ordering::SeqCst);
                json!({"keys": *self.keys.lock()})
            }
            "/realms/shop/.well-known/openid-configuration" => self.discovery.lock().clone(),
            _ => {
                self.strange.lock().push(url.clone());
                Value::Null
            }
        };
        if self.is_away.load(Ordering::SeqCst) {
            let (url, status) = (url.clone(), 503);
            return Err(FetchError::Status { url, status });
        }
        Ok(Document {
            body: document.to_string().into(),
            max_age: None,
        })
    }
}

/// What takes the tokens of an issuer, and its clock.
pub struct Rig {
    pub issuer: Arc<FakeIssuer>,
    pub clock: Arc<LeapingClock>,
    pub tokens: Arc<AccessTokens>,
    stop: CancellationToken,
}

impl Rig {
    pub fn of(keys: &[&SigningKey]) -> Self {
        Self::start(FakeIssuer::of(keys), "")
    }

    pub fn start(issuer: Arc<FakeIssuer>, options: &str) -> Self {
        let clock = Arc::new(LeapingClock::default());
        let tokens = issuer.tokens(options, clock.clone());
        let stop = CancellationToken::new();
        tokens.keep_fresh(&stop);
        Self {
            issuer,
            clock,
            tokens,
            stop,
        }
    }

    /// The second of now.
    pub fn now(&self) -> i64 {
        self.clock.now().0 / 1_000
    }

    /// The claims of a good token.
    pub fn claims(&self) -> Value {
        claims(self.now())
    }

    /// Whose token it is.
    pub async fn identify(&self, token: &str) -> Result<String, Refusal> {
        let proven = self.tokens.identify(token).await?;
        Ok(proven.caller.by().to_string())
    }

    pub async fn refused(&self, token: &str, fault: TokenFault, what: &str) {
        let outcome = self.identify(token).await;
        assert_eq!(outcome, Err(Refusal::Token(fault)), "{what}");
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The claims of a good token.
pub fn claims(now: i64) -> Value {
    json!({
        "iss": ISSUER,
        "aud": "trackops",
        "sub": "ann",
        "iat": now,
        "exp": now + 300,
        "client_id": "shop",
        "jti": "1",
        "trackops_role": "service",
    })
}
