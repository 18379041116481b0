//! Reading a request's body: as it is, and bounded in size and time.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout_at};

use super::body_budget::{BODIES, BodyBudget, Held};
use super::problem::Problem;
use super::problem_code::Code;

/// The largest body: an order with every field at its longest, escaped, has less than half of it.
pub const BODY_BYTES_MAX: usize = 256 * 1024;

/// `Retry-After` when all bodies together are too large. A body is held for milliseconds only.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How long a body may take to arrive: 256 KiB in this time is 26 KiB/s, a bad mobile connection.
const BODY_MAX: Duration = Duration::from_secs(10);

/// A body, with its share of the budget of all bodies.
#[derive(Debug)]
pub struct ReadBody {
    bytes: Bytes,
    _held: Held<'static>,
}

impl std::ops::Deref for ReadBody {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The whole body, or a 400, 408, 413 or 415, or a 503 when all bodies together are too large. The unread
/// rest of a refused body is left to `unread`.
pub async fn read(headers: &HeaderMap, body: Body) -> Result<ReadBody, Problem> {
    let mut held = Held::default();
    let bytes = read_within(&BODIES, &mut held, headers, body).await?;
    Ok(ReadBody { bytes, _held: held })
}

async fn read_within<'a>(
    budget: &'a BodyBudget,
    held: &mut Held<'a>,
    headers: &HeaderMap,
    mut body: Body,
) -> Result<Bytes, Problem> {
    require_plain(headers)?;
    let declared = content_length(headers);
    if declared.is_some_and(|bytes| bytes > BODY_BYTES_MAX) {
        return Err(too_large());
    }
    // A body usually arrives with the head; then no timer is set.
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
        if !budget.take(held, chunk.len()) {
            return Err(no_room());
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

/// 415 for a body with a content coding: its bytes would be taken for JSON. The answer names the accepted
/// coding (RFC 9110, 12.5.3).
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

fn no_room() -> Problem {
    let detail = "the bodies that are being read are too large together";
    Problem::new(Code::Overloaded, detail).retry_after(RETRY_AFTER)
}

fn too_slow() -> Problem {
    let detail = format!("the body took longer than {} s", BODY_MAX.as_secs());
    Problem::new(Code::RequestTimeout, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_for_which_there_is_no_room_is_refused() {
        let budget = BodyBudget::new(100);
        let (mut one, mut other) = (Held::default(), Held::default());
        let headers = HeaderMap::new();
        let body = |bytes: usize| Body::from(vec![b' '; bytes]);
        let read = read_within(&budget, &mut one, &headers, body(60)).await;
        assert_eq!(read.expect("room").len(), 60);
        let refused = read_within(&budget, &mut other, &headers, body(60)).await;
        assert!(refused.is_err());
        drop(one);
        let read = read_within(&budget, &mut other, &headers, body(60)).await;
        assert!(read.is_ok());
    }
}
