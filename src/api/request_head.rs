//! RFC 9112's rules for a request's head that the HTTP library doesn't check: `Host`, the form of the target,
//! transfer codings, and unknown methods. A proxy and this server must not understand one head in two ways.
//! Leaves to the router which path takes which method.

use axum::http::{HeaderMap, HeaderValue, Method, Request, Uri, Version, header};

use super::problem::Problem;
use super::problem_code::Code;

/// Refuses a request whose head is ambiguous or asks for something that this server doesn't have. Then the
/// connection ends: a proxy in front may understand the bytes that follow differently.
pub fn check<B>(request: &Request<B>) -> Result<(), Problem> {
    let headers = request.headers();
    let fault = check_host(headers, request.version(), request.uri())
        .and_then(|()| check_codings(headers))
        .and_then(|()| check_method(request.method()))
        .and_then(|()| check_target(request.method(), request.uri()));
    fault.map_err(|(code, detail)| {
        Problem::new(code, detail).header(header::CONNECTION, HeaderValue::from_static("close"))
    })
}

type Fault = (Code, &'static str);

/// RFC 9112, 3.2: one valid `Host`, which only HTTP/1.0 may leave out; and HTTP/2 where it has the same in
/// `:authority`, as is usual there (RFC 9113, 8.3.1).
fn check_host(headers: &HeaderMap, version: Version, uri: &Uri) -> Result<(), Fault> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let authority = uri.authority().filter(|_| version == Version::HTTP_2);
    let detail = match (hosts.next(), hosts.next()) {
        (None, _) if version <= Version::HTTP_10 || authority.is_some() => return Ok(()),
        (Some(host), None) if authority.is_some_and(|it| !is_same(it.as_str(), host)) => {
            "Host and :authority name different servers"
        }
        (None, _) => "the request has no Host",
        (Some(_), Some(_)) => "the request has more than one Host",
        (Some(host), None) if is_host(host.as_bytes()) => return Ok(()),
        (Some(_), None) => "Host must be a name or an address, and may have a port",
    };
    Err((Code::BadRequest, detail))
}

fn is_same(authority: &str, host: &HeaderValue) -> bool {
    authority.as_bytes().eq_ignore_ascii_case(host.as_bytes())
}

/// RFC 9110, 7.2: `uri-host [ ":" port ]` of RFC 3986, 3.2.2; empty for a target without an authority.
fn is_host(value: &[u8]) -> bool {
    let (host, after) = if value.starts_with(b"[") {
        let Some(end) = value.iter().position(|byte| *byte == b']') else {
            return false;
        };
        let inner = &value[1..end];
        let is_inner =
            |byte: &u8| byte.is_ascii_alphanumeric() || b":.-_~!$&'()*+,;=".contains(byte);
        if inner.is_empty() || !inner.iter().all(is_inner) {
            return false;
        }
        (&[][..], &value[end + 1..])
    } else {
        let end = value.iter().position(|byte| *byte == b':');
        value.split_at(end.unwrap_or(value.len()))
    };
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(byte);
    let is_port = match after.split_first() {
        None => true,
        Some((b':', port)) => port.iter().all(u8::is_ascii_digit),
        Some(_) => false,
    };
    host.iter().all(is_name) && is_port
}

/// RFC 9112, 6.1: only `chunked`, and once. The library checks that it is the last coding and that HTTP/1.0
/// has none. It also ends the connection after a request that has `Content-Length` too.
fn check_codings(headers: &HeaderMap) -> Result<(), Fault> {
    let mut chunked = 0;
    for value in headers.get_all(header::TRANSFER_ENCODING) {
        let codings = value.as_bytes().split(|byte| *byte == b',');
        for coding in codings.map(<[u8]>::trim_ascii) {
            if coding.eq_ignore_ascii_case(b"chunked") {
                chunked += 1;
            } else if !coding.is_empty() {
                let detail = "the only transfer coding here is chunked";
                return Err((Code::NotImplemented, detail));
            }
        }
    }
    if chunked > 1 {
        let detail = "the body is said to be chunked more than once";
        return Err((Code::BadRequest, detail));
    }
    Ok(())
}

/// RFC 9110, 9.1: 405 is for methods that the server knows, 501 for others. This server is no proxy, so it
/// doesn't know `CONNECT`.
fn check_method(method: &Method) -> Result<(), Fault> {
    match *method {
        Method::GET
        | Method::HEAD
        | Method::POST
        | Method::PUT
        | Method::DELETE
        | Method::PATCH
        | Method::OPTIONS
        | Method::TRACE => Ok(()),
        // A read with a body. No path takes it, but the server knows what it is.
        ref other if other.as_str() == "QUERY" => Ok(()),
        _ => Err((Code::NotImplemented, "the server doesn't know this method")),
    }
}

/// RFC 9112, 3.2: the target is a path, a whole `http` URI, or (for `OPTIONS` only) `*`, the server as a
/// whole.
fn check_target(method: &Method, uri: &Uri) -> Result<(), Fault> {
    let detail = match (uri.scheme_str(), uri.authority()) {
        (None, Some(_)) => "the target must be a path",
        (None, None) if uri.path() == "*" && method != Method::OPTIONS => {
            "the target * is for OPTIONS"
        }
        (None, None) => return Ok(()),
        (Some("http" | "https"), Some(authority)) if is_host(authority.as_str().as_bytes()) => {
            return Ok(());
        }
        (Some(_), _) => "the target must be a path, or an http URI without a user",
    };
    Err((Code::BadRequest, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_with_or_without_a_port() {
        for good in [
            "",
            "x",
            "example.com",
            "example.com:8080",
            "example.com:",
            "127.0.0.1:1",
            "[::1]",
            "[::1]:8080",
            "[v1.a:b]",
            "a_b-c.d~e",
            "b%C3%BCcher.example",
        ] {
            assert!(is_host(good.as_bytes()), "{good}");
        }
        for bad in [
            "a b",
            "a, b",
            "a:b",
            "a:80:80",
            "user@a",
            "a/b",
            "a?b",
            "a#b",
            "http://a",
            "[::1",
            "[]",
            "[::1]x",
            "[::1]:x",
            "::1",
            "b\u{fc}cher",
            "a\\b",
            "a\"b",
        ] {
            assert!(!is_host(bad.as_bytes()), "{bad}");
        }
    }
}
