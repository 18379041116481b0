//! Problems (RFC 9457) as the server sends them, formatted for a person.

use serde::Deserialize;

use super::text::printable;
use crate::codec::content::FieldError;

/// A refusal. Every field may be missing, because a proxy in between may send its own form.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Problem {
    /// The same for every occurrence of a code.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What is wrong this time.
    pub detail: String,
    /// Stable, for programs.
    pub code: String,
    /// Fields that break a rule.
    pub errors: Vec<FieldError>,
    /// The order's status, for a refused step.
    pub current_status: Option<String>,
    /// What a client may do instead, for a refused step.
    pub allowed: Option<Vec<String>>,
    /// When to try again, from the header `Retry-After`, in seconds.
    #[serde(skip)]
    pub retry_after_seconds: Option<u64>,
}

impl Problem {
    /// The problem in `body`, if it is one. Its texts are made safe to print.
    pub fn parse(body: &[u8], status: u16) -> Option<Self> {
        let mut problem: Self = serde_json::from_slice(body).ok()?;
        if problem.title.is_empty() && problem.detail.is_empty() && problem.code.is_empty() {
            return None;
        }
        if problem.status == 0 {
            problem.status = status;
        }
        Some(problem.cleaned())
    }

    /// The problem without control characters that a terminal would obey.
    pub fn cleaned(mut self) -> Self {
        self.title = printable(&self.title);
        self.detail = printable(&self.detail);
        for error in &mut self.errors {
            error.pointer = printable(&error.pointer);
            error.detail = printable(&error.detail);
        }
        self
    }

    /// Whether trying again can help.
    pub fn may_pass(&self) -> bool {
        self.status >= 500
    }

    /// The lines to print below title and detail.
    pub fn particulars(&self) -> Vec<String> {
        let mut lines: Vec<String> = self
            .errors
            .iter()
            .map(|error| match error.pointer.as_str() {
                "" => error.detail.clone(),
                pointer => format!("{pointer}: {}", error.detail),
            })
            .collect();
        if let Some(current) = &self.current_status {
            lines.push(format!("the order is {}", printable(current)));
        }
        match self.allowed.as_deref() {
            Some([]) => lines.push("no step leads on from there".into()),
            Some(steps) => {
                lines.push(format!("possible now: {}", printable(&steps.join(", "))));
            }
            None => {}
        }
        if let Some(seconds) = self.retry_after_seconds {
            lines.push(format!("try again in {seconds} s"));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::super::failure::CliError;
    use super::*;

    #[test]
    fn a_refused_step_says_what_is_possible() {
        let body = br#"{"type":"/problems/illegal-step","title":"Step not possible","status":409,
            "detail":"an order that is CONFIRMED can't become DELIVERED","code":"illegal-step",
            "instance":"/x","currentStatus":"CONFIRMED","allowed":["PREPARING","CANCELLED"]}"#;
        let problem = Problem::parse(body, 409).expect("a problem");
        let report = CliError::Refused(Box::new(problem)).report();
        assert_eq!(
            report,
            "trackops: Step not possible: an order that is CONFIRMED can't become DELIVERED\n  \
             the order is CONFIRMED\n  possible now: PREPARING, CANCELLED"
        );
    }

    #[test]
    fn fields_are_named_and_terminals_are_safe() {
        let body = br#"{"title":"Fields break rules","status":422,"detail":"two\u001b[2Jthings",
            "errors":[{"pointer":"/items/0/quantity","detail":"must be 1 to 10000"}]}"#;
        let problem = Problem::parse(body, 422).expect("a problem");
        let report = CliError::Refused(Box::new(problem)).report();
        assert!(report.ends_with("\n  /items/0/quantity: must be 1 to 10000"));
        assert!(!report.contains('\u{1b}'), "{report:?}");
    }

    #[test]
    fn other_json_is_no_problem() {
        assert!(Problem::parse(b"{\"message\":\"gateway\"}", 502).is_none());
        assert!(Problem::parse(b"<html>", 502).is_none());
    }
}
