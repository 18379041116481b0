//! The one form of every error: `application/problem+json` (RFC 9457). The status of each code is in
//! [`super::problem_code`]; [`super::service`], which knows the path, fills in `instance`.

use crate::api::schemas::{ProblemCode, UriReference};
use crate::codec::schema::{Count, OrderStatus};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use trackops_domain::access::Caller;
use trackops_domain::status::Status;
use utoipa::ToSchema;

use super::probes::CheckView;
use super::problem_code::Code;
use crate::codec::content::FieldError;

/// An error answer.
#[derive(Clone, Debug)]
pub struct Problem(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    code: Code,
    body: ProblemBody,
    headers: HeaderMap,
    /// When to come back at the earliest, in whole seconds.
    passes_after: Option<Duration>,
    /// Set if a rule of who may do what is the reason.
    denied: Option<Denied>,
    /// For the log, not for the caller.
    cause: Option<String>,
}

/// Why a caller was denied something; for audit and metrics, not for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// No credential where one is needed, or one that isn't valid.
    Credential,
    /// A page of another origin asks.
    Origin,
    /// The role may not use the route.
    Role,
    /// The order isn't the caller's.
    NotTheirs,
    /// The role may not take this step.
    Step,
}

impl Denied {
    /// The name in audit rows and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Credential => "credential",
            Self::Origin => "origin",
            Self::Role => "role",
            Self::NotTheirs => "not-theirs",
            Self::Step => "step",
        }
    }
}

/// A problem as sent.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// The URL of a page that says what to do: `/problems/<code>`, with `problem_base_url` before it if that is
    /// configured.
    #[serde(rename = "type")]
    #[schema(value_type = UriReference)]
    pub kind: String,
    /// The same for every occurrence of a code.
    #[schema(value_type = String)]
    pub title: &'static str,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    pub status: u16,
    /// What is wrong this time.
    pub detail: String,
    /// Stable, for programs.
    #[schema(value_type = ProblemCode)]
    pub code: &'static str,
    /// The path of the request.
    #[schema(value_type = UriReference)]
    pub instance: String,
    /// The request's trace (W3C Trace Context), 32 hexadecimal digits: what to tell an operator. Absent
    /// where no request was read: in messages of sockets and streams, and in answers to a connection.
    #[serde(skip_serializing_if = "str::is_empty")]
    #[schema(value_type = Option<String>, nullable = false, pattern = "^[0-9a-f]{32}$")]
    pub trace_id: Box<str>,
    /// The fields that break a rule.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// A refused step: where the order stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<OrderStatus>, nullable = false)]
    pub current_status: Option<&'static str>,
    /// A refused step: what a client may do instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<OrderStatus>>, nullable = false)]
    pub allowed: Option<Vec<&'static str>>,
    /// Less on hand than is reserved: how many are reserved.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Count>, nullable = false)]
    pub reserved: Option<u64>,
    /// Not ready: what every check found.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub checks: Option<Vec<CheckView>>,
}

impl Problem {
    /// A problem of `code`; `detail` says what is wrong this time.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let facts = code.facts();
        let body = ProblemBody {
            kind: format!("/problems/{}", facts.code),
            title: facts.title,
            status: facts.status.as_u16(),
            detail: detail.into(),
            code: facts.code,
            instance: String::new(),
            trace_id: Box::default(),
            errors: Vec::new(),
            current_status: None,
            allowed: None,
            reserved: None,
            checks: None,
        };
        Self(Box::new(Inner {
            code,
            body,
            headers: HeaderMap::new(),
            passes_after: None,
            denied: None,
            cause: None,
        }))
    }

    /// A 422 that names the fields.
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let count = errors.len();
        let noun = if count == 1 { "field is" } else { "fields are" };
        let mut problem = Self::new(Code::ValidationFailed, format!("{count} {noun} not valid"));
        problem.0.body.errors = errors;
        problem
    }

    /// A 422 of one field.
    pub fn invalid_field(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::invalid(vec![FieldError {
            pointer: pointer.into(),
            detail: detail.into(),
        }])
    }

    /// Adds the order's status and the steps that a client may take instead.
    #[must_use]
    pub fn standing_at(mut self, status: Status) -> Self {
        self.0.body.current_status = Some(status.as_str());
        let steps = status.client_steps().iter().map(|step| step.as_str());
        self.0.body.allowed = Some(steps.collect());
        self
    }

    /// Leaves only those steps that `caller` may take.
    #[must_use]
    pub fn narrowed_to(mut self, caller: &Caller) -> Self {
        if let Some(status) = self.0.body.current_status.and_then(Status::parse)
            && let Some(allowed) = &mut self.0.body.allowed
        {
            allowed.retain(|step| {
                Status::parse(step).is_some_and(|step| caller.may_step(status, step))
            });
        }
        self
    }

    /// Marks it as a denial.
    #[must_use]
    pub fn denied(mut self, why: Denied) -> Self {
        self.0.denied = Some(why);
        self
    }

    /// Why the caller was denied something, if a rule of who may do what is the reason.
    pub fn denial(&self) -> Option<Denied> {
        self.0.denied
    }

    /// Adds how many are reserved.
    #[must_use]
    pub fn reserved(mut self, reserved: u64) -> Self {
        self.0.body.reserved = Some(reserved);
        self
    }

    /// Adds the outcomes of the readiness checks.
    #[must_use]
    pub fn with_checks(mut self, checks: Vec<CheckView>) -> Self {
        self.0.body.checks = Some(checks);
        self
    }

    /// Adds `Retry-After`, in whole seconds, at least one (RFC 9110 has no fractions). A 503 says up to twice as
    /// much: it goes to many clients at once, and they must not come back together.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        let whole = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        let base = whole.max(1);
        self.0.passes_after = Some(Duration::from_secs(base));
        let is_for_many = self.0.code.facts().status == StatusCode::SERVICE_UNAVAILABLE;
        let told = if is_for_many {
            rand::random_range(base..=base.saturating_mul(2))
        } else {
            base
        };
        self.header(header::RETRY_AFTER, HeaderValue::from(told))
    }

    /// When to come back at the earliest, if the refusal will pass.
    pub fn passes_after(&self) -> Option<Duration> {
        self.0.passes_after
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.insert(name, value);
        self
    }

    /// Adds what has led to it, which is for the log alone.
    #[must_use]
    pub fn caused_by(mut self, cause: String) -> Self {
        self.0.cause = Some(cause);
        self
    }

    /// What has led to it, if that is more than the caller is told.
    pub fn cause(&self) -> Option<&str> {
        self.0.cause.as_deref()
    }

    /// Adds the request's trace.
    #[must_use]
    pub fn traced(mut self, trace_id: &str) -> Self {
        self.0.body.trace_id = trace_id.into();
        self
    }

    /// Makes the URL of its page absolute: `base` goes before it. Empty for none.
    #[must_use]
    pub fn with_page_at(mut self, base: &str) -> Self {
        self.0.body.kind.insert_str(0, base);
        self
    }

    /// Adds the path of the request.
    #[must_use]
    pub fn at(mut self, path: &str) -> Self {
        path.clone_into(&mut self.0.body.instance);
        self
    }

    /// Replaces the status by another of the same class, for cases that only the framework tells apart.
    #[must_use]
    pub(super) fn status(mut self, status: StatusCode) -> Self {
        self.0.body.status = status.as_u16();
        self
    }

    /// The code.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The body that is sent.
    pub fn body(&self) -> &ProblemBody {
        &self.0.body
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        // Writing a plain struct to memory has no way to fail.
        let json = serde_json::to_vec(&self.0.body).unwrap_or_default();
        let mut response = Response::new(Body::from(json));
        *response.status_mut() =
            StatusCode::from_u16(self.0.body.status).unwrap_or(self.0.code.facts().status);
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        for (name, value) in &self.0.headers {
            headers.insert(name, value.clone());
        }
        // The service finds it here and renders it again with `instance`.
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn told(code: Code, wait: Duration) -> BTreeSet<u64> {
        let told = (0..1000).map(|_| {
            let problem = Problem::new(code, "later").retry_after(wait);
            let response = problem.into_response();
            let value = &response.headers()[header::RETRY_AFTER];
            value.to_str().expect("digits").parse().expect("seconds")
        });
        told.collect()
    }

    #[test]
    fn those_who_are_sent_away_together_come_back_apart() {
        let wait = Duration::from_millis(2_100);
        assert_eq!(told(Code::Overloaded, wait), (3..=6).collect());
        assert_eq!(told(Code::Unavailable, Duration::ZERO), (1..=2).collect());
        let over = Problem::new(Code::Overloaded, "later").retry_after(wait);
        assert_eq!(over.passes_after(), Some(Duration::from_secs(3)));
    }

    #[test]
    fn a_limit_says_exactly_when() {
        let wait = Duration::from_millis(2_100);
        assert_eq!(told(Code::RateLimited, wait), [3].into());
    }
}
