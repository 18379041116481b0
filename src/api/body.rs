//! Reading a request's body: bounded in size and time, and so that the client sees why it failed.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout, timeout_at};

use super::problem::Problem;
use super::problem_code::Code;

/// The largest body: an order with every field at its longest, escaped, has less than half of it.
pub const BODY_BYTES_MAX: usize = 256 * 1024;

/// How much of a body that is too large is taken all the same: a client that is still sending reads
/// no answer, and closing on it would reset the connection and take the answer with it.
const DRAIN_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How long that may take.
const DRAIN_MAX: Duration = Duration::from_secs(1);

/// How long a body may take to arrive: 256 KiB in this time is 26 KiB/s, a bad mobile connection.
const BODY_MAX: Duration = Duration::from_secs(10);

/// The whole body, or a 400, 408 or 413.
pub async fn read(headers: &HeaderMap, mut body: Body) -> Result<Bytes, Problem> {
    let declared = content_length(headers);
    if declared.is_some_and(|bytes| bytes > BODY_BYTES_MAX) {
        // A client that asked first has sent nothing yet, and need not.
        let asks_first = headers.contains_key(header::EXPECT);
        let drained = !asks_first && drain(&mut body, 0).await;
        return Err(too_large(drained));
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
            let drained = drain(&mut body, so_far).await;
            return Err(too_large(drained));
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

/// Takes the rest, as far as is bearable; whether all of it came.
async fn drain(body: &mut Body, taken: usize) -> bool {
    let all = async {
        let mut taken = taken;
        while let Some(Ok(frame)) = body.frame().await {
            taken += frame.data_ref().map_or(0, Bytes::len);
            if taken > DRAIN_BYTES_MAX {
                return false;
            }
        }
        true
    };
    timeout(DRAIN_MAX, all).await.unwrap_or(false)
}

fn content_length(headers: &HeaderMap) -> Option<usize> {
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

fn too_large(drained: bool) -> Problem {
    let detail = format!("the body is larger than {BODY_BYTES_MAX} bytes");
    let problem = Problem::new(Code::PayloadTooLarge, detail);
    if drained {
        return problem;
    }
    problem.header(header::CONNECTION, HeaderValue::from_static("close"))
}

fn too_slow() -> Problem {
    let detail = format!("the body took longer than {} s", BODY_MAX.as_secs());
    Problem::new(Code::RequestTimeout, detail)
        .header(header::CONNECTION, HeaderValue::from_static("close"))
}
