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
    /// Set if a rule of who may do what is the reason.
    denied: Option<Denied>,
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
    /// `/problems/<code>`: a page that says what to do.
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
            denied: None,
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

    /// Adds `Retry-After`, in whole seconds, at least one (RFC 9110 has no fractions).
    #[must_use]
    pub fn retry_after(self, wait: Duration) -> Self {
        let whole = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        self.header(header::RETRY_AFTER, HeaderValue::from(whole.max(1)))
    }

    /// When to come back, if the refusal will pass.
    pub fn passes_after(&self) -> Option<Duration> {
        let wait = self.0.headers.get(header::RETRY_AFTER)?.to_str().ok()?;
        wait.parse().ok().map(Duration::from_secs)
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.insert(name, value);
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
