//! Problems (RFC 9457) as the server sends them.

use serde::Deserialize;

/// A refusal. Every field may be empty, because a proxy in between may send a form of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Problem {
    /// The same for every occurrence of a code.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong this time.
    pub detail: String,
    /// Stable, for programs: `illegal-step`, for example. The server's page `/problems/CODE` says what to do.
    pub code: String,
    /// Fields that break a rule.
    pub errors: Vec<FieldError>,
    /// The order's status, for a refused step.
    pub current_status: Option<String>,
    /// What a client may do instead, for a refused step.
    pub allowed: Option<Vec<String>>,
    /// How many are reserved, if less was to be on hand.
    pub reserved: Option<u64>,
    /// When to try again, from the header `Retry-After`, in seconds.
    #[serde(skip)]
    pub retry_after_seconds: Option<u64>,
}

/// A field that breaks a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct FieldError {
    /// JSON pointer (RFC 6901) to the field; empty for the whole body.
    pub pointer: String,
    /// What is wrong.
    pub detail: String,
}

impl Problem {
    /// The problem in `body`, the body of an answer with `status`. `None` if it is none: other JSON has neither
    /// title nor detail nor code.
    pub fn parse(body: &[u8], status: u16) -> Option<Self> {
        let mut problem: Self = serde_json::from_slice(body).ok()?;
        if problem.title.is_empty() && problem.detail.is_empty() && problem.code.is_empty() {
            return None;
        }
        if problem.status == 0 {
            problem.status = status;
        }
        Some(problem)
    }

    /// Whether trying again can help, because the fault is the server's.
    pub fn may_pass(&self) -> bool {
        self.status >= 500
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_step_is_read_whole() {
        let body = br#"{"type":"/problems/illegal-step","title":"Step not possible","status":409,
            "detail":"an order that is CONFIRMED can't become DELIVERED","code":"illegal-step",
            "instance":"/x","currentStatus":"CONFIRMED","allowed":["PREPARING","CANCELLED"]}"#;
        let problem = Problem::parse(body, 409).expect("a problem");
        assert_eq!(problem.code, "illegal-step");
        assert_eq!(problem.current_status.as_deref(), Some("CONFIRMED"));
        assert_eq!(problem.allowed.map(|steps| steps.len()), Some(2));
    }

    #[test]
    fn other_json_is_no_problem() {
        assert!(Problem::parse(b"{\"message\":\"gateway\"}", 502).is_none());
        assert!(Problem::parse(b"<html>", 502).is_none());
        let bare = Problem::parse(br#"{"code":"x"}"#, 503).expect("a problem");
        assert_eq!((bare.status, bare.may_pass()), (503, true));
    }
}
