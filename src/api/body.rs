//! Reading a request's body: as it is, and bounded in size and time.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout_at};

use super::problem::Problem;
use super::problem_code::Code;

/// The largest body: an order with every field at its longest, escaped, has less than half of it.
pub const BODY_BYTES_MAX: usize = 256 * 1024;

/// How long a body may take to arrive: 256 KiB in this time is 26 KiB/s, a bad mobile connection.
const BODY_MAX: Duration = Duration::from_secs(10);

/// The whole body, or a 400, 408, 413 or 415. What is not read of a refused one is `unread`'s to take.
pub async fn read(headers: &HeaderMap, mut body: Body) -> Result<Bytes, Problem> {
    require_plain(headers)?;
    let declared = content_length(headers);
    if declared.is_some_and(|bytes| bytes > BODY_BYTES_MAX) {
        return Err(too_large());
    }
    // An empty or whole body is there with the head as a rule; no timer is set for it.
    let deadline = Instant::now() + BODY_MAX;
    let mut read = Bytes::new();
    let mut more: Option<BytesMut> = None;
    loop {
        let frame = timeout_at(deadline, body.frame())
            .await
            .map_err(|_| too_slow())?;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|error| Problem::new(Code::UnreadableBody, error.to_string()))?;
        let Ok(chunk) = frame.into_data() else {
            continue;
        };
        let so_far = more.as_ref().map_or(read.len(), BytesMut::len) + chunk.len();
        if so_far > BODY_BYTES_MAX {
            return Err(too_large());
        }
        if let Some(buffer) = &mut more {
            buffer.extend_from_slice(&chunk);
        } else if read.is_empty() {
            read = chunk;
        } else {
            let size = declared.unwrap_or(0).max(so_far);
            let mut buffer = BytesMut::with_capacity(size);
            buffer.extend_from_slice(&read);
            buffer.extend_from_slice(&chunk);
            more = Some(buffer);
        }
    }
    Ok(more.map_or(read, BytesMut::freeze))
}

/// 415 for a coded body: its bytes would be taken for JSON. The answer names what is accepted (RFC 9110,
/// 12.5.3).
fn require_plain(headers: &HeaderMap) -> Result<(), Problem> {
    let codings = headers.get_all(header::CONTENT_ENCODING).iter();
    let is_plain = |coding: &[u8]| coding.is_empty() || coding.eq_ignore_ascii_case(b"identity");
    let all_plain = codings
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .all(is_plain);
    if all_plain {
        return Ok(());
    }
    let detail = "the body has a Content-Encoding; send it as it is";
    Err(Problem::new(Code::UnsupportedMediaType, detail).header(
        header::ACCEPT_ENCODING,
        HeaderValue::from_static("identity"),
    ))
}

fn content_length(headers: &HeaderMap) -> Option<usize> {
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

fn too_large() -> Problem {
    let detail = format!("the body is larger than {BODY_BYTES_MAX} bytes");
    Problem::new(Code::PayloadTooLarge, detail)
}

fn too_slow() -> Problem {
    let detail = format!("the body took longer than {} s", BODY_MAX.as_secs());
    Problem::new(Code::RequestTimeout, detail)
}
