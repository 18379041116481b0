//! A request that limits count: the limiter and the client's address travel with it, and the header fields of
//! draft-ietf-httpapi-ratelimit-headers-10 with its answer. Which class a route has is in [`super::limit_layer`].

use std::io::Write as _;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Request};
use trackops_domain::access::Caller;

use super::client_address;
use super::problem::Problem;
use super::problem_code::Code;
use crate::limits::{Address, Class, Decision, RateLimiter, Standing, Verdict};

/// The limit that the request was counted by.
pub const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// Where the caller stands with it.
pub const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// The class in which requests without a valid credential count: nothing is done for them but to say so.
const WITHOUT_CALLER: Class = Class::Read;

/// The limits of a listener.
#[derive(Clone)]
pub struct Limited {
    /// Counts.
    pub limiter: RateLimiter,
    /// Proxies in front that add to `X-Forwarded-For`.
    pub proxies: u32,
}

/// A request that limits count, in its extensions. Its clones share it.
#[derive(Clone)]
pub struct Counted(Arc<Shared>);

struct Shared {
    limiter: RateLimiter,
    address: Address,
    standing: OnceLock<Standing>,
}

/// Why a request is over its limit, or what has to be waited for before that is known.
pub enum NotYet {
    /// It is over.
    Refused(Problem),
    /// Tokens are being drawn: see [`Counted::settle`].
    Pending(crate::limits::Pending),
}

impl Limited {
    /// Puts what counts it into the request, which came over a connection of `peer`.
    pub fn count<B>(&self, request: &mut Request<B>, peer: Option<IpAddr>) -> Counted {
        let counted = Counted(Arc::new(Shared {
            limiter: self.limiter.clone(),
            address: client_address::of(request.headers(), peer, self.proxies),
            standing: OnceLock::new(),
        }));
        request.extensions_mut().insert(counted.clone());
        counted
    }
}

impl Counted {
    /// Counts the request of `caller` in `class`; `None` stands for a request without a valid credential, to a route
    /// that needs none.
    pub fn admit(&self, class: Class, caller: Option<&Caller>) -> Result<(), NotYet> {
        let shared = &self.0;
        match shared.limiter.admit(class, caller, shared.address) {
            Decision::Unlimited => Ok(()),
            Decision::Known(verdict) => self.stands(verdict).map_err(NotYet::Refused),
            Decision::Pending(pending) => Err(NotYet::Pending(pending)),
        }
    }

    /// Counts a request without a valid credential to a route that needs one.
    pub fn admit_unknown(&self) -> Result<(), NotYet> {
        self.admit(WITHOUT_CALLER, None)
    }

    /// Counts a request with a credential that was refused, unless it was counted before.
    pub async fn guessed(&self) {
        let shared = &self.0;
        if shared.standing.get().is_none() {
            shared
                .limiter
                .count(WITHOUT_CALLER, None, shared.address)
                .await;
        }
    }

    /// Waits for the draw.
    pub async fn settle(&self, pending: crate::limits::Pending) -> Result<(), Problem> {
        self.stands(self.0.limiter.settle(pending).await)
    }

    /// Counts a credential that was refused on a connection that is open.
    pub async fn guessed_further(&self) {
        let shared = &self.0;
        shared
            .limiter
            .count(WITHOUT_CALLER, None, shared.address)
            .await;
    }

    /// Counts something that is asked over a connection that is open.
    pub async fn admit_further(&self, class: Class, caller: &Caller) -> Result<(), Problem> {
        let shared = &self.0;
        let counted = shared.limiter.count(class, Some(caller), shared.address);
        match counted.await {
            Some(Verdict::Refused(standing, wait)) => Err(refused(&standing, wait)),
            _ => Ok(()),
        }
    }

    /// The refusal of a credential that would have to be looked up, if its address has none left to ask with.
    pub fn refuse_lookup(&self) -> Option<Problem> {
        let shared = &self.0;
        let is_exhausted = shared.limiter.is_exhausted(WITHOUT_CALLER, shared.address);
        is_exhausted.then(|| {
            let detail = "too many requests without a valid credential come from this address";
            Problem::new(Code::RateLimited, detail).retry_after(Duration::from_secs(1))
        })
    }

    fn stands(&self, verdict: Verdict) -> Result<(), Problem> {
        let (standing, result) = match verdict {
            Verdict::Admitted(standing) => (standing, Ok(())),
            Verdict::Refused(standing, wait) => {
                let problem = refused(&standing, wait);
                (standing, Err(problem))
            }
        };
        // A request is counted once.
        let _ = self.0.standing.set(standing);
        result
    }

    /// Adds the fields to the answer, if something limits the request.
    pub fn add_fields(&self, headers: &mut HeaderMap) {
        let Some(standing) = self.0.standing.get() else {
            return;
        };
        if let Ok(policy) = HeaderValue::from_str(standing.policy_field()) {
            headers.insert(RATELIMIT_POLICY, policy);
        }
        if let Some(field) = field(standing) {
            headers.insert(RATELIMIT, field);
        }
    }
}

/// `"read";r=299;t=1`.
fn field(standing: &Standing) -> Option<HeaderValue> {
    // The longest class, a number of 10 and one of 20 digits.
    let mut text = [0; 64];
    let mut left = &mut text[..];
    let (name, remaining) = (standing.class().as_str(), standing.remaining);
    write!(left, "\"{name}\";r={remaining};t={}", standing.full_in_s).ok()?;
    let left = left.len();
    HeaderValue::from_bytes(&text[..text.len() - left]).ok()
}

fn refused(standing: &Standing, wait: Duration) -> Problem {
    let class = standing.class().as_str();
    let detail = format!(
        "too many requests of the class {class}: {}",
        standing.policy_field()
    );
    Problem::new(Code::RateLimited, detail).retry_after(wait)
}
