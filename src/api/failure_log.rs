//! One log line for each answer of 5xx, with what an operator needs to find the request elsewhere.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, Method, StatusCode};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::problem::Problem;
use super::problem_code::Code;

/// How a proxy in front names a request.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest name of a request that is logged, in bytes.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// The longest part of a path or method that is logged, in bytes.
const SHOWN_BYTES_MAX: usize = 256;

/// Lines in a second at most. While a database is away, thousands of requests fail in a second, and their lines
/// must not cost more than the requests.
const LINES_MAX: u32 = 100;

/// The lines of the last second.
#[derive(Debug)]
pub struct FailureLog(Mutex<Second>);

#[derive(Debug)]
struct Second {
    began: Instant,
    lines: u32,
    suppressed: u64,
}

impl Default for FailureLog {
    fn default() -> Self {
        Self(Mutex::new(Second {
            began: Instant::now(),
            lines: 0,
            suppressed: 0,
        }))
    }
}

/// A request that failed.
#[derive(Clone, Copy, Debug)]
pub struct Failed<'a> {
    /// The method.
    pub method: &'a Method,
    /// The path as it may be shown.
    pub path: &'a str,
    /// The request's trace.
    pub trace_id: &'a str,
    /// The request's name; see [`request_id`].
    pub request_id: Option<&'a str>,
}

impl FailureLog {
    /// Logs that `failed` was answered with `problem`, unless [`LINES_MAX`] lines are through in this second. What a
    /// probe says isn't a failure: it is asked every few seconds.
    pub fn failed(&self, failed: Failed<'_>, status: StatusCode, problem: &Problem) {
        if matches!(problem.code(), Code::NotReady | Code::NotStarted) {
            return;
        }
        let Some(suppressed) = self.0.lock().line(Instant::now()) else {
            return;
        };
        let Failed {
            method,
            path,
            trace_id,
            request_id,
        } = failed;
        let request_id = request_id.unwrap_or(trace_id);
        let (path, method) = (shortened(path), shortened(method.as_str()));
        let (code, status) = (problem.body().code, status.as_u16());
        let cause = problem.cause().unwrap_or(&problem.body().detail);
        if status == StatusCode::INTERNAL_SERVER_ERROR.as_u16() {
            tracing::error!(
                method,
                path,
                status,
                code,
                request_id,
                trace_id,
                suppressed,
                cause,
                "request failed"
            );
        } else {
            tracing::warn!(
                method,
                path,
                status,
                code,
                request_id,
                trace_id,
                suppressed,
                cause,
                "request failed"
            );
        }
    }
}

/// What stands in the log of a text that a client has chosen.
fn shortened(text: &str) -> &str {
    let end = text.floor_char_boundary(SHOWN_BYTES_MAX);
    &text[..end]
}

impl Second {
    /// How many lines were left out since the last one; `None` if this one is too.
    fn line(&mut self, now: Instant) -> Option<u64> {
        if now.duration_since(self.began) >= Duration::from_secs(1) {
            (self.began, self.lines) = (now, 0);
        }
        if self.lines >= LINES_MAX {
            self.suppressed += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}

/// `X-Request-Id`, if it is of 1 to 128 visible ASCII characters: others don't belong into a log.
pub fn request_id(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(REQUEST_ID)?.to_str().ok()?;
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
    (is_plain && (1..=REQUEST_ID_BYTES_MAX).contains(&text.len())).then_some(text)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use axum::http::HeaderValue;

    use super::*;

    /// Where a test finds what was logged.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_flood_has_a_hundred_lines_a_second_and_counts_the_rest() {
        let (log, start) = (FailureLog::default(), Instant::now());
        let mut second = log.0.lock();
        let lines = |second: &mut Second, count: u32, now: Instant| {
            let lines = (0..count).filter_map(|_| second.line(now));
            lines.collect::<Vec<u64>>()
        };
        assert_eq!(lines(&mut second, 250, start), [0; 100]);
        let later = start + Duration::from_secs(2);
        assert_eq!(lines(&mut second, 2, later), [150, 0]);
    }

    /// What is logged of a failure.
    fn logged(problem: &Problem, request_id: Option<&str>) -> String {
        let lines = Lines::default();
        let to = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || to.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let failed = Failed {
                method: &Method::PUT,
                path: "/api/v1/orders/7/status",
                trace_id: "0af7651916cd43dd8448eb211c80319c",
                request_id,
            };
            let status = problem.code().facts().status;
            FailureLog::default().failed(failed, status, problem);
        });
        let bytes = lines.0.lock();
        String::from_utf8(bytes.clone()).expect("UTF-8")
    }

    #[test]
    fn one_line_says_where_to_look() {
        let away = Problem::new(Code::Unavailable, "the journal is away");
        let line = logged(
            &away
                .clone()
                .caused_by("the journal is away: refused".into()),
            Some("7f-1"),
        );
        assert_eq!(line.lines().count(), 1, "{line}");
        for part in [
            "WARN",
            "method=\"PUT\" path=\"/api/v1/orders/7/status\" status=503 code=\"unavailable\"",
            "request_id=\"7f-1\" trace_id=\"0af7651916cd43dd8448eb211c80319c\"",
            "cause=\"the journal is away: refused\"",
        ] {
            assert!(line.contains(part), "{part}: {line}");
        }
        let line = logged(&Problem::new(Code::InternalError, "x"), None);
        assert!(
            line.contains("ERROR") && line.contains("request_id=\"0af7"),
            "{line}"
        );
        assert_eq!(logged(&Problem::new(Code::NotReady, "x"), None), "");
        assert_eq!(shortened(&"x".repeat(60_000)).len(), SHOWN_BYTES_MAX);
        assert_eq!(shortened("/a"), "/a");
    }

    #[test]
    fn a_request_id_that_could_break_a_line_is_none() {
        let read = |value: &[u8]| {
            let mut headers = HeaderMap::new();
            let value = HeaderValue::from_bytes(value).expect("a header");
            headers.insert(REQUEST_ID, value);
            request_id(&headers).map(str::to_owned)
        };
        assert_eq!(read(b"7f-1").as_deref(), Some("7f-1"));
        assert_eq!(read(&[b'a'; 128]), Some("a".repeat(128)));
        for bad in [&b""[..], b"a b", b"a\tb", "\u{e4}".as_bytes(), &[b'a'; 129]] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
        assert_eq!(request_id(&HeaderMap::new()), None);
    }
}
