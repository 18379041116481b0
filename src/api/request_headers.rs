//! Request headers that several endpoints honour, and the header that marks the answer to a repeat.

use std::sync::Arc;

use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue, Request};
use axum::response::Response;

use super::problem::Problem;
use super::problem_code::Code;
use crate::codec::trace;

/// `Idempotency-Key`.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// `Idempotency-Replayed`, on the answer to a repeat.
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// W3C Trace Context.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 255;

/// The idempotency key, if there is one; 400 if it is not 1 to 255 visible ASCII characters or occurs twice.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let bytes = value.as_bytes();
    let sound = (1..=KEY_BYTES_MAX).contains(&bytes.len())
        && bytes.iter().all(u8::is_ascii_graphic)
        && values.next().is_none();
    std::str::from_utf8(bytes)
        .ok()
        .filter(|_| sound)
        .map(Some)
        .ok_or_else(|| {
            Problem::new(
                Code::InvalidIdempotencyKey,
                format!("Idempotency-Key must be one value of 1 to {KEY_BYTES_MAX} visible ASCII characters"),
            )
        })
}

/// Marks the answer to a repeat.
pub fn mark_replayed(response: &mut Response) {
    let yes = HeaderValue::from_static("true");
    response.headers_mut().insert(IDEMPOTENCY_REPLAYED, yes);
}

/// The trace context of a request (W3C Trace Context).
#[derive(Clone, Debug)]
pub struct Trace(Arc<str>);

impl Trace {
    /// That of the request, for which one is made if it has none. Handlers find it in the request. A malformed one
    /// counts as none (3.2). One of a later version is passed on as version 00, without the fields that the later
    /// version appends.
    pub fn of<B>(request: &mut Request<B>) -> Self {
        let sent = request.headers().get(TRACEPARENT);
        let sent = sent.and_then(|sent| sent.to_str().ok());
        let trace = Self(match sent.filter(|text| is_traceparent(text)) {
            Some(text) => format!("00{}", &text[2..trace::LEN]).into(),
            None => trace::root(),
        });
        request.extensions_mut().insert(trace.clone());
        trace
    }

    /// The trace's id.
    pub fn id(&self) -> &str {
        self.0.get(3..35).unwrap_or_default()
    }
}

/// The trace context to pass on.
pub fn traceparent(extensions: &Extensions) -> Arc<str> {
    // Only a test has requests that the service hasn't seen.
    extensions
        .get::<Trace>()
        .map_or_else(trace::root, |trace| Arc::clone(&trace.0))
}

fn is_traceparent(text: &str) -> bool {
    let bytes = text.as_bytes();
    let lower_hex = |part: &[u8]| {
        part.iter()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let zero = |part: &[u8]| part.iter().all(|byte| *byte == b'0');
    // 00-<32 hex>-<16 hex>-<2 hex>; later versions may go on after another hyphen.
    if bytes.len() < trace::LEN || [2, 35, 52].iter().any(|at| bytes[*at] != b'-') {
        return false;
    }
    let (version, trace, parent, flags) =
        (&bytes[..2], &bytes[3..35], &bytes[36..52], &bytes[53..55]);
    let ends = bytes.len() == trace::LEN || (version != b"00" && bytes[55] == b'-');
    ends && version != b"ff"
        && [version, trace, parent, flags].into_iter().all(lower_hex)
        && !zero(trace)
        && !zero(parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What handlers pass on of a request with this header.
    fn passed_on(sent: Option<&str>) -> Arc<str> {
        let mut request = Request::new(());
        if let Some(sent) = sent {
            let sent = sent.parse().expect("a header");
            request.headers_mut().insert(TRACEPARENT, sent);
        }
        let trace = Trace::of(&mut request);
        let passed_on = traceparent(request.extensions());
        assert_eq!(passed_on.split('-').nth(1), Some(trace.id()));
        passed_on
    }

    #[test]
    fn a_request_without_a_trace_begins_one() {
        let (one, other) = (passed_on(None), passed_on(None));
        assert!(is_traceparent(&one) && is_traceparent(&other), "{one}");
        assert_ne!(one, other);
        assert_eq!(passed_on(Some(&one)), one);
        assert!(is_traceparent(&passed_on(Some("00-none"))));
    }

    #[test]
    fn what_a_later_version_appends_is_not_passed_on() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let later = format!("{}-{}", good.replacen("00", "cc", 1), "x".repeat(10_000));
        assert_eq!(&*passed_on(Some(&later)), good);
    }

    #[test]
    fn only_a_sound_traceparent_is_passed_on() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert!(is_traceparent(good));
        assert!(is_traceparent(&good.replacen("00", "01", 1)));
        assert!(is_traceparent(&format!(
            "{}-more",
            good.replacen("00", "01", 1)
        )));
        for bad in [
            format!("{good}-more"),
            format!("{good}0"),
            good.replacen("00", "ff", 1),
            good.to_uppercase(),
            good.replace("b7ad6b7169203331", "0000000000000000"),
            good.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            good.replace('-', "_"),
            good[..54].to_owned(),
        ] {
            assert!(!is_traceparent(&bad), "{bad}");
        }
    }
}
