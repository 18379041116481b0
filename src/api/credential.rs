//! The credential of a request, and the refusal of a bad one (RFC 6750).

use std::borrow::Cow;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::problem::{Denied, Problem};
use super::problem_code::Code;
use crate::auth::Refusal;

/// The longest credential, in bytes.
const BYTES_MAX: usize = 8 * 1024;

/// The subprotocol of the live socket.
pub const PROTOCOL: &str = "trackops.v1";

/// Before a credential in base64url, as a second subprotocol: a browser can send no other header with a socket.
const BEARER_PROTOCOL: &str = "trackops.bearer.";

/// What the `Authorization` header says, or the subprotocols of an upgrade; `None` without either. An error for
/// anything but one `Bearer` credential.
pub fn of(headers: &HeaderMap) -> Result<Option<Cow<'_, str>>, Refusal> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return of_protocols(headers).map(|found| found.map(Cow::Owned));
    };
    let text = value.to_str().map_err(|_| Refusal::Malformed)?;
    let (scheme, credential) = text.split_once(' ').ok_or(Refusal::Malformed)?;
    let credential = credential.trim_matches(' ');
    let is_one = scheme.eq_ignore_ascii_case("bearer")
        && (1..=BYTES_MAX).contains(&credential.len())
        && !credential.contains([' ', ','])
        && values.next().is_none();
    let is_one = is_one && of_protocols(headers)?.is_none();
    is_one
        .then_some(Some(Cow::Borrowed(credential)))
        .ok_or(Refusal::Malformed)
}

fn of_protocols(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    if !headers.contains_key(header::UPGRADE) {
        return Ok(None);
    }
    let values = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    let protocols = values.filter_map(|value| value.to_str().ok());
    let mut named = protocols
        .flat_map(|value| value.split(','))
        .filter_map(|protocol| protocol.trim().strip_prefix(BEARER_PROTOCOL));
    let Some(encoded) = named.next() else {
        return Ok(None);
    };
    let bytes = URL_SAFE_NO_PAD.decode(encoded);
    let text = bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok());
    text.filter(|text| (1..=BYTES_MAX).contains(&text.len()) && named.next().is_none())
        .map(Some)
        .ok_or(Refusal::Malformed)
}

/// The answer to a request whose credential is refused. It tells nothing of what was asked for.
pub fn refused(refusal: Refusal) -> Problem {
    if refusal.is_unknown_yet() {
        return Problem::new(Code::Unavailable, refusal.to_string())
            .retry_after(std::time::Duration::from_secs(1));
    }
    let challenge = match refusal {
        // RFC 6750, 3.1: without a credential the challenge has no error code.
        Refusal::Missing => "Bearer realm=\"trackops\"".to_owned(),
        Refusal::Malformed => challenge("invalid_request", refusal),
        _ => challenge("invalid_token", refusal),
    };
    let problem = Problem::new(Code::Unauthorized, refusal.to_string()).denied(Denied::Credential);
    match HeaderValue::try_from(challenge) {
        Ok(challenge) => problem.header(WWW_AUTHENTICATE, challenge),
        Err(_) => problem,
    }
}

const WWW_AUTHENTICATE: HeaderName = header::WWW_AUTHENTICATE;

fn challenge(error: &str, refusal: Refusal) -> String {
    format!("Bearer realm=\"trackops\", error=\"{error}\", error_description=\"{refusal}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Result<Option<String>, Refusal> {
        let mut headers = HeaderMap::new();
        for value in values {
            let value = HeaderValue::try_from(*value).expect("a header");
            headers.append(header::AUTHORIZATION, value);
        }
        of(&headers).map(|found| found.map(Cow::into_owned))
    }

    #[test]
    fn one_bearer_credential_is_read() {
        assert_eq!(read(&[]), Ok(None));
        for good in ["Bearer abc", "bearer abc", "BEARER  abc "] {
            assert_eq!(read(&[good]), Ok(Some("abc".into())), "{good}");
        }
        let long = format!("Bearer {}", "a".repeat(BYTES_MAX + 1));
        let bad: [&[&str]; 8] = [
            &["abc"],
            &["Basic abc"],
            &["Bearer"],
            &["Bearer "],
            &["Bearer a b"],
            &["Bearer a, Bearer b"],
            &["Bearer a", "Bearer a"],
            &[&long],
        ];
        for bad in bad {
            assert_eq!(read(bad), Err(Refusal::Malformed), "{bad:?}");
        }
    }

    #[test]
    fn two_credentials_are_one_too_many() {
        let mut headers = HeaderMap::new();
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        let protocols = HeaderValue::from_static("trackops.v1, trackops.bearer.dGtfYQ");
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocols);
        headers.insert(
            header::AUTHORIZATION,
            HeaderValue::from_static("Bearer tk_a"),
        );
        assert_eq!(of(&headers), Err(Refusal::Malformed));
    }

    #[test]
    fn a_browsers_socket_has_it_as_a_subprotocol() {
        let read = |protocols: &str, is_upgrade: bool| {
            let mut headers = HeaderMap::new();
            if is_upgrade {
                headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            }
            let value = HeaderValue::try_from(protocols).expect("a header");
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, value);
            of(&headers).map(|found| found.map(Cow::into_owned))
        };
        let good = "trackops.v1, trackops.bearer.dGtfYQ";
        assert_eq!(read(good, true), Ok(Some("tk_a".into())));
        assert_eq!(read(good, false), Ok(None));
        assert_eq!(read("trackops.v1", true), Ok(None));
        for bad in [
            "trackops.bearer.",
            "trackops.bearer.!",
            "trackops.bearer.dGtfYQ, trackops.bearer.dGtfYQ",
            "trackops.bearer._w",
        ] {
            assert_eq!(read(bad, true), Err(Refusal::Malformed), "{bad}");
        }
    }
}
