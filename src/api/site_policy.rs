//! Whose requests a listener serves: the names that it answers to, and the web pages that may change
//! something. A page of a stranger that an operator happens to open must not reach what only the operator's
//! machine reaches (cross-site requests, DNS rebinding). Who may do what is decided elsewhere.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderValue, Method, Request, Uri, header};
use thiserror::Error;

use super::problem::{Denied, Problem};
use super::problem_code::Code;

/// A configured name or origin that can't be one.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum InvalidSite {
    /// Not a host name.
    #[error("{0} is not a host name or an address without a port")]
    Host(String),
    /// Not an origin.
    #[error("{0} is not an origin, such as https://shop.example")]
    Origin(String),
}

/// See the module. The default answers to loopback and to the listener's own addresses, and lets no page
/// from elsewhere change anything.
#[derive(Clone, Debug, Default)]
pub struct SitePolicy {
    /// Further names, in lower case and without port.
    hosts: Vec<String>,
    /// `*` was among the names.
    any_host: bool,
    /// Origins of pages that may do what the same origin may, as browsers send them.
    origins: Vec<String>,
}

impl SitePolicy {
    /// Answers also to `hosts`, where `*` stands for every name, and to pages of `origins`.
    pub fn new(hosts: &[String], origins: &[String]) -> Result<Self, InvalidSite> {
        let mut policy = Self::default();
        for host in hosts {
            match host.as_str() {
                "*" => policy.any_host = true,
                _ if is_bare_host(host) => policy.hosts.push(bare(host).to_ascii_lowercase()),
                _ => return Err(InvalidSite::Host(host.clone())),
            }
        }
        for origin in origins {
            let parsed = Origin::parse(origin.as_bytes());
            let parsed = parsed.ok_or_else(|| InvalidSite::Origin(origin.clone()))?;
            policy.origins.push(parsed.text());
        }
        Ok(policy)
    }

    /// The origins whose pages may read answers.
    pub fn origins(&self) -> &[String] {
        &self.origins
    }

    /// Refuses a request to a name that isn't this listener's, and one by which a foreign page would change
    /// something. `local`: the address at which the client has reached this listener.
    pub fn check<B>(&self, request: &Request<B>, local: Option<IpAddr>) -> Result<(), Problem> {
        let (headers, method) = (request.headers(), request.method());
        let host = headers.get(header::HOST).map(HeaderValue::as_bytes);
        let named = [
            request.uri().authority().map(|it| it.as_str().as_bytes()),
            host,
        ];
        if !named.iter().flatten().all(|host| self.is_mine(host, local)) {
            return Err(misdirected());
        }
        let changes = !method.is_safe() || headers.contains_key(header::UPGRADE);
        if changes && !self.may_change(headers, request.uri()) {
            return Err(foreign_origin());
        }
        Ok(())
    }

    fn is_mine(&self, host: &[u8], local: Option<IpAddr>) -> bool {
        let Ok(host) = str::from_utf8(host) else {
            return false;
        };
        let name = bare(without_port(host)).trim_end_matches('.');
        if name.is_empty() || self.any_host {
            return true;
        }
        if let Ok(address) = name.parse::<IpAddr>() {
            let is_own = |own: IpAddr| own.to_canonical() == address.to_canonical();
            if address.is_loopback() || local.is_some_and(is_own) {
                return true;
            }
        }
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        is("localhost") || self.hosts.iter().any(|host| is(host))
    }

    /// Whether the page that made the request, if one did, is of the same origin or a configured one.
    fn may_change(&self, headers: &HeaderMap, uri: &Uri) -> bool {
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let origin = match (origins.next(), origins.next()) {
            // A browser that leaves the origin out says at least whose page it is.
            (None, _) => {
                return headers
                    .get("sec-fetch-site")
                    .is_none_or(|site| site != "cross-site");
            }
            (Some(origin), None) => origin.as_bytes(),
            (Some(_), Some(_)) => return false,
        };
        let Some(origin) = Origin::parse(origin) else {
            return false;
        };
        let host = headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok());
        let host = uri
            .authority()
            .map_or(host, |authority| Some(authority.as_str()));
        host.is_some_and(|host| origin.is_at(host)) || self.origins.contains(&origin.text())
    }
}

/// An origin by RFC 6454: scheme, host and port. `null` is none.
struct Origin {
    scheme: &'static str,
    /// Host and port, the scheme's own port left out; in lower case.
    authority: String,
}

impl Origin {
    fn parse(text: &[u8]) -> Option<Self> {
        let text = str::from_utf8(text).ok()?;
        let (scheme, rest) = text.split_once("://")?;
        let scheme = ["http", "https"]
            .into_iter()
            .find(|known| known.eq_ignore_ascii_case(scheme))?;
        let uri: Uri = format!("http://{rest}").parse().ok()?;
        let authority = uri.authority()?.as_str();
        (authority == rest && !authority.contains('@') && !without_port(rest).is_empty()).then(
            || Self {
                scheme,
                authority: without_port_of(scheme, rest),
            },
        )
    }

    fn text(&self) -> String {
        format!("{}://{}", self.scheme, self.authority)
    }

    /// Whether this is the origin of pages at `host`. A proxy before this server may speak TLS, so the
    /// scheme isn't compared.
    fn is_at(&self, host: &str) -> bool {
        self.authority == without_port_of(self.scheme, host)
    }
}

fn without_port_of(scheme: &str, authority: &str) -> String {
    let port = if scheme == "https" { ":443" } else { ":80" };
    let authority = authority.strip_suffix(port).unwrap_or(authority);
    authority.to_ascii_lowercase()
}

/// `host` of `host`, `host:port`, `[address]` and `[address]:port`.
fn without_port(authority: &str) -> &str {
    match authority.rfind(':') {
        Some(at) if !authority[at..].contains(']') => &authority[..at],
        _ => authority,
    }
}

/// An address without its brackets.
fn bare(host: &str) -> &str {
    let inner = host.strip_prefix('[');
    inner
        .and_then(|inner| inner.strip_suffix(']'))
        .unwrap_or(host)
}

fn is_bare_host(host: &str) -> bool {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    bare(host).parse::<IpAddr>().is_ok() || (!host.is_empty() && host.bytes().all(is_name))
}

/// Whether a page of any site may have a browser send this `POST` without asking first: it has no header of
/// its own, and its body, if any, isn't declared as JSON.
pub fn is_simple_post<B>(request: &Request<B>) -> bool {
    if *request.method() != Method::POST {
        return false;
    }
    let headers = request.headers();
    let is_json = |kind: &HeaderValue| {
        let essence = kind.as_bytes().split(|byte| *byte == b';').next();
        essence.is_some_and(|it| it.trim_ascii().eq_ignore_ascii_case(b"application/json"))
    };
    let is_asked_first = headers.contains_key("idempotency-key")
        || headers.contains_key(header::AUTHORIZATION)
        || headers.get(header::CONTENT_TYPE).is_some_and(is_json);
    !is_asked_first
}

fn misdirected() -> Problem {
    Problem::new(
        Code::MisdirectedRequest,
        "Host names another server: an operator can add the name to allowed_hosts",
    )
}

fn foreign_origin() -> Problem {
    Problem::new(
        Code::ForeignOrigin,
        "a page of another origin may not do this: an operator can add it to cors_allowed_origins",
    )
    .denied(Denied::Origin)
}

/// The refusal of such a `POST`.
pub fn simple_post() -> Problem {
    Problem::new(
        Code::UnsupportedMediaType,
        "a POST needs Content-Type: application/json, or without a body an Idempotency-Key or Authorization",
    )
}

#[cfg(test)]
#[path = "site_policy_tests.rs"]
mod tests;
