//! Requests to one server, sent again where the policy and the request allow it.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER,
    USER_AGENT,
};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::de::DeserializeOwned;
use tokio::time::timeout;
use url::Url;

use super::address::ServerAddress;
use super::answer::Answer;
use super::dial::Dialer;
use super::error::{Error, root_cause};
use super::problem::Problem;
use super::retry::{Backoff, RetryPolicy};
use super::write_options::WriteOptions;

/// Shorter than servers and proxies keep an idle connection as a rule, so that a request seldom meets its end.
const IDLE_MAX: Duration = Duration::from_secs(30);
const AGENT: &str = concat!("trackops-client/", env!("CARGO_PKG_VERSION"));

/// The way to one server.
#[derive(Debug)]
pub struct Transport {
    pool: Pool<Dialer, Full<Bytes>>,
    dialer: Dialer,
    address: ServerAddress,
    retry: RetryPolicy,
    /// The limit of one attempt.
    timeout: Duration,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Ask {
    method: Method,
    url: Url,
    headers: Vec<(HeaderName, String)>,
    body: Option<Bytes>,
    /// Whether a repeat does no harm.
    is_repeatable: bool,
}

impl Ask {
    /// A read.
    pub fn get(url: Url) -> Self {
        Self {
            method: Method::GET,
            url,
            headers: Vec::new(),
            body: None,
            is_repeatable: true,
        }
    }

    /// A mutation with a JSON body.
    pub fn write(method: Method, url: Url, body: Vec<u8>, options: &WriteOptions) -> Self {
        Self {
            method,
            url,
            headers: options.headers().collect(),
            body: Some(body.into()),
            is_repeatable: options.key().is_some(),
        }
    }

    /// A `POST` without a body. The server takes it only with a header that no page of another site can send.
    pub fn action(url: Url, is_repeatable: bool) -> Self {
        Self {
            method: Method::POST,
            headers: vec![(CONTENT_TYPE, "application/json".to_owned())],
            is_repeatable,
            ..Self::get(url)
        }
    }
}

impl Transport {
    /// The way to the server at `address`.
    pub fn new(
        address: ServerAddress,
        dialer: Dialer,
        retry: RetryPolicy,
        timeout: Duration,
    ) -> Self {
        let pool = Pool::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_MAX)
            .build(dialer.clone());
        Self {
            pool,
            dialer,
            address,
            retry,
            timeout,
        }
    }

    /// Where the server is.
    pub fn address(&self) -> &ServerAddress {
        &self.address
    }

    /// What opens connections to it.
    pub fn dialer(&self) -> &Dialer {
        &self.dialer
    }

    /// Sends a request until there is an answer that another attempt wouldn't change.
    pub async fn ask(&self, ask: Ask) -> Result<Answer<()>, Error> {
        let mut backoff = Backoff::new(self.retry);
        loop {
            let error = match self.attempt(&ask).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if !may_repeat(&error, ask.is_repeatable) {
                return Err(error);
            }
            let Some(pause) = backoff.pause(retry_after(&error)) else {
                return Err(error);
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Sends a request, and reads the JSON of its answer.
    pub async fn ask_json<T: DeserializeOwned>(&self, ask: Ask) -> Result<Answer<T>, Error> {
        let url = ask.url.clone();
        let answer = self.ask(ask).await?;
        match serde_json::from_slice(answer.body()) {
            Ok(value) => Ok(answer.with(value)),
            Err(_) => Err(Error::foreign(shown(&url), answer.status(), answer.body())),
        }
    }

    async fn attempt(&self, ask: &Ask) -> Result<Answer<()>, Error> {
        let request = self.request(ask)?;
        let exchange = async {
            let answer = self.pool.request(request).await;
            let answer = answer.map_err(|error| self.failed(!error.is_connect(), &error))?;
            let (head, body) = answer.into_parts();
            let body = body.collect().await;
            let body = body.map_err(|error| self.failed(true, &error))?;
            Ok((head.status, head.headers, body.to_bytes()))
        };
        let (status, headers, body) = match timeout(self.timeout, exchange).await {
            Ok(answered) => answered?,
            Err(_) => {
                return Err(Error::NoAnswer {
                    url: self.address.shown().into(),
                    was_sent: true,
                    cause: format!("no answer within {} s", self.timeout.as_secs_f64()),
                });
            }
        };
        if status.is_success() {
            return Ok(Answer::unread(status.as_u16(), &headers, body));
        }
        Err(refusal(&ask.url, status, &headers, &body))
    }

    fn request(&self, ask: &Ask) -> Result<Request<Full<Bytes>>, Error> {
        let unfit = |error: &dyn std::error::Error| {
            Error::Usage(format!("the request can't be sent: {error}"))
        };
        let uri: Uri = ask.url.as_str().parse().map_err(|error| unfit(&error))?;
        let mut request = Request::new(Full::new(ask.body.clone().unwrap_or_default()));
        *request.method_mut() = ask.method.clone();
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        if let Some(authorization) = self.address.authorization() {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        if ask.body.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        for (name, value) in &ask.headers {
            let value = HeaderValue::from_str(value).map_err(|error| unfit(&error))?;
            headers.insert(name, value);
        }
        Ok(request)
    }

    /// The error of a request that got no answer.
    fn failed(&self, was_sent: bool, error: &(dyn std::error::Error + 'static)) -> Error {
        Error::NoAnswer {
            url: self.address.shown().into(),
            was_sent,
            cause: root_cause(error),
        }
    }
}

fn refusal(url: &Url, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let after = text(RETRY_AFTER).and_then(|value| value.parse().ok());
    if let Some(mut problem) = Problem::parse(body, status.as_u16()) {
        problem.retry_after_seconds = after;
        return Error::Refused(Box::new(problem));
    }
    // Followed, a redirection would make a read of a mutation, and send in the clear what was encrypted.
    let moved = text(LOCATION).filter(|_| status.is_redirection());
    let moved = moved.map(|to| format!("moved to {to}"));
    let body = moved.as_deref().map_or(body, str::as_bytes);
    let mut error = Error::foreign(shown(url), status.as_u16(), body);
    if let Error::Foreign {
        retry_after_seconds,
        ..
    } = &mut error
    {
        *retry_after_seconds = after;
    }
    error
}

/// `url` as an error may show it: without the token of a tracking link, which is a credential.
fn shown(url: &Url) -> &str {
    let whole = url.as_str();
    let tracking = "/api/v1/tracking/";
    let at = whole.find(tracking).map(|at| at + tracking.len());
    at.map_or(whole, |at| &whole[..at])
}

/// Whether another attempt may help and does no harm.
fn may_repeat(error: &Error, is_repeatable: bool) -> bool {
    match error {
        Error::Usage(_) => false,
        Error::NoAnswer { was_sent, .. } => is_repeatable || !was_sent,
        Error::Refused(_) | Error::Foreign { .. } => match error.status() {
            // Refused before anything was done.
            Some(429) => true,
            // The outcome may be unknown. A proxy says 502 or 504 when it lost the server.
            Some(502..=504) => is_repeatable,
            _ => false,
        },
    }
}

fn retry_after(error: &Error) -> Duration {
    let seconds = match error {
        Error::Refused(problem) => problem.retry_after_seconds,
        Error::Foreign {
            retry_after_seconds,
            ..
        } => *retry_after_seconds,
        Error::Usage(_) | Error::NoAnswer { .. } => None,
    };
    Duration::from_secs(seconds.unwrap_or(0))
}
