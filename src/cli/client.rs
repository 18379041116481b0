//! The HTTP side of the client commands: requests to one server, and its refusals as errors.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, ETAG, HeaderMap, IF_MATCH, RETRY_AFTER};
use reqwest::{Method, Url};
use serde::de::DeserializeOwned;

use super::failure::CliError;
use super::problem::Problem;
use super::program;
use super::text::printable;

/// A server that accepts no connection within this time counts as unreachable.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longer than the server's own limits, so that the user sees its refusal and not a broken connection.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How much of a foreign answer is shown: enough to recognise it.
const EXCERPT_CHARS: usize = 120;

/// A client of one server.
pub struct Client {
    http: reqwest::Client,
    base: Url,
    /// The base URL to show, without user and password.
    shown: String,
    /// What to do if nothing listens there.
    hint: String,
}

/// A request without method and path.
#[derive(Default)]
pub struct Ask {
    /// JSON to send.
    pub body: Option<Vec<u8>>,
    /// `Idempotency-Key`.
    pub key: Option<String>,
    /// `If-Match`.
    pub if_match: Option<String>,
}

/// A server's answer to a request that succeeded.
#[derive(Debug)]
pub struct Answer {
    url: String,
    headers: HeaderMap,
    status: u16,
    /// The body.
    pub body: Vec<u8>,
}

impl Client {
    /// A client of the order service at `url`.
    pub fn new(url: &str) -> Result<Self, CliError> {
        let hint = format!(
            "start it with `{} dev --demo`, or name another server with --url",
            program::path()
        );
        Self::with_hint(url, hint)
    }

    /// A client of a management address.
    pub fn management(url: &str) -> Result<Self, CliError> {
        let hint = "name the management address with --management-url \
            (of `trackops dev` it is the public one, http://127.0.0.1:8080)";
        Self::with_hint(url, hint.into())
    }

    fn with_hint(url: &str, hint: String) -> Result<Self, CliError> {
        // A URL that may hold a user and a password is not repeated.
        let named = if url.contains('@') { "that" } else { url };
        let base = Url::parse(url)
            .map_err(|error| CliError::Usage(format!("{named} is not a URL: {error}")))?;
        if base.scheme() != "http" || base.host().is_none() {
            let form = format!("{named}: must be http://HOST:PORT (this client speaks no TLS)");
            return Err(CliError::Usage(form));
        }
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .no_proxy()
            .build()
            .map_err(|error| CliError::Usage(error.to_string()))?;
        let shown = without_user(base.clone());
        Ok(Self {
            http,
            base,
            shown: shown.as_str().trim_end_matches('/').into(),
            hint,
        })
    }

    /// The address of `segments` below the base, each segment escaped.
    pub fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    /// The live socket's address.
    pub fn track_url(&self) -> String {
        let url = self.url(&["api", "v1", "track"]);
        url.as_str().replacen("http://", "ws://", 1)
    }

    /// The server's URL as the user gave it, without user and password.
    pub fn base(&self) -> &str {
        &self.shown
    }

    /// Sends a request; a refusal is an error.
    pub async fn ask(&self, method: Method, url: Url, ask: Ask) -> Result<Answer, CliError> {
        let shown = without_user(url.clone()).to_string();
        let mut request = self.http.request(method, url);
        if let Some(body) = ask.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        if let Some(key) = ask.key {
            request = request.header("idempotency-key", key);
        }
        if let Some(tag) = ask.if_match {
            request = request.header(IF_MATCH, tag);
        }
        let answer = request.send().await.map_err(|error| self.failed(&error))?;
        let status = answer.status();
        let headers = answer.headers().clone();
        let body = answer.bytes().await.map_err(|error| self.failed(&error))?;
        if status.is_success() {
            return Ok(Answer {
                url: shown,
                headers,
                status: status.as_u16(),
                body: body.to_vec(),
            });
        }
        let retry_after = headers.get(RETRY_AFTER).and_then(|v| v.to_str().ok());
        Err(match Problem::parse(&body, status.as_u16()) {
            Some(mut problem) => {
                problem.retry_after_seconds = retry_after.and_then(|value| value.parse().ok());
                CliError::Refused(Box::new(problem))
            }
            None => foreign(&shown, status.as_u16(), &body),
        })
    }

    /// The error of a request that got no answer.
    fn failed(&self, error: &reqwest::Error) -> CliError {
        if error.is_builder() {
            let (cause, _) = CliError::root_cause(error);
            return CliError::Usage(format!("the request can't be sent: {cause}"));
        }
        if error.is_connect() {
            return self.unreachable(error);
        }
        let cause = if error.is_timeout() {
            format!("no answer within {} s", REQUEST_TIMEOUT.as_secs())
        } else {
            CliError::root_cause(error).0
        };
        CliError::NoAnswer {
            url: self.base().into(),
            cause,
        }
    }

    /// The error for a server that can't be reached.
    pub fn unreachable(&self, error: &(dyn std::error::Error + 'static)) -> CliError {
        CliError::Unreachable {
            url: self.base().into(),
            cause: CliError::root_cause(error).0,
            hint: self.hint.clone(),
        }
    }
}

impl Answer {
    /// The body as `T`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, CliError> {
        serde_json::from_slice(&self.body).map_err(|_| foreign(&self.url, self.status, &self.body))
    }

    /// The body as one line of JSON, with every field that the server sent.
    pub fn json_line(&self) -> Result<String, CliError> {
        let value: serde_json::Value = self.json()?;
        Ok(value.to_string())
    }

    /// `ETag`.
    pub fn etag(&self) -> Option<String> {
        let value = self.headers.get(ETAG)?;
        value.to_str().ok().map(str::to_owned)
    }

    /// Whether the server repeated the answer to an earlier request with the same key.
    pub fn is_replay(&self) -> bool {
        self.headers.contains_key("idempotency-replayed")
    }
}

/// A URL for people to read.
fn without_user(mut url: Url) -> Url {
    // Fails only for a URL that can have no user and password.
    let _ = url.set_username("").and_then(|()| url.set_password(None));
    url
}

fn foreign(url: &str, status: u16, body: &[u8]) -> CliError {
    let text = String::from_utf8_lossy(body);
    let excerpt = text.chars().take(EXCERPT_CHARS).collect::<String>();
    CliError::Foreign {
        url: url.into(),
        status,
        excerpt: printable(excerpt.trim()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_joined_and_escaped() {
        let client = Client::new("http://h:1/base/").expect("a URL");
        let url = client.url(&["api", "v1", "orders", "a/b c"]);
        assert_eq!(url.as_str(), "http://h:1/base/api/v1/orders/a%2Fb%20c");
        assert_eq!(client.track_url(), "ws://h:1/base/api/v1/track");
        let bare = Client::new("http://h:1").expect("a URL");
        assert_eq!(bare.track_url(), "ws://h:1/api/v1/track");
        assert!(Client::new("https://h").is_err());
        assert!(Client::new("h:8080").is_err());
    }

    #[tokio::test]
    async fn a_password_in_the_url_is_not_shown() {
        for url in ["u:hunter2@h", "https://u:hunter2@h", "http://u:hunter2@h:x"] {
            let refused = Client::new(url).err().expect("no URL of ours").report();
            assert!(!refused.contains("hunter2"), "{refused}");
        }
        let client = Client::new("http://u:hunter2@127.0.0.1:1").expect("a URL");
        assert_eq!(client.base(), "http://127.0.0.1:1");
        let url = client.url(&["api"]);
        let failed = client.ask(Method::GET, url, Ask::default()).await;
        let report = failed.expect_err("nobody listens").report();
        assert!(!report.contains("hunter2"), "{report}");
    }

    #[tokio::test]
    async fn a_closed_port_says_what_to_start() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        drop(listener);
        let client = Client::new(&format!("http://{address}")).expect("a URL");
        let url = client.url(&["api"]);
        let error = client.ask(Method::GET, url, Ask::default()).await;
        let report = error.expect_err("nobody listens").report();
        assert!(!report.contains('\n'), "{report}");
        assert!(report.contains("connection refused"), "{report}");
        assert!(report.contains("dev --demo"), "{report}");
    }
}
