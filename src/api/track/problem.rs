//! Problems (RFC 9457) of live tracking: in HTTP answers and in `error` messages.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use trackops_domain::ids::OrderId;

use crate::ports::orders::OrdersError;

/// A stable error code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The message is not JSON.
    MalformedJson,
    /// A message that can't be understood.
    BadRequest,
    /// A path or query parameter can't be understood.
    InvalidParameter,
    /// A header can't be understood.
    InvalidHeader,
    /// No such order.
    OrderNotFound,
    /// The path is there, the method isn't.
    MethodNotAllowed,
    /// JSON of a wrong form.
    ValidationFailed,
    /// The path needs a protocol upgrade.
    UpgradeRequired,
    /// The connection follows as many orders as it may.
    TooManySubscriptions,
    /// A fault of ours.
    InternalError,
    /// The order waits for an operator.
    OrderQuarantined,
    /// The order's actor failed under the request.
    OrderRestarted,
    /// Too much to do.
    Overloaded,
    /// A dependency is away.
    Unavailable,
}

/// What went wrong.
#[derive(Clone, Debug)]
pub struct Problem {
    body: Body,
    headers: HeaderMap,
}

#[derive(Clone, Debug, Serialize)]
struct Body {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: String,
    code: &'static str,
    instance: String,
}

impl Code {
    #[rustfmt::skip]
    const fn facts(self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Self::MalformedJson => (S::BAD_REQUEST, "malformed-json", "The body is not JSON"),
            Self::BadRequest => (S::BAD_REQUEST, "bad-request", "The request can't be understood"),
            Self::InvalidParameter => (S::BAD_REQUEST, "invalid-parameter", "A parameter can't be understood"),
            Self::InvalidHeader => (S::BAD_REQUEST, "invalid-header", "A header can't be understood"),
            Self::OrderNotFound => (S::NOT_FOUND, "order-not-found", "There is no such order"),
            Self::MethodNotAllowed => (S::METHOD_NOT_ALLOWED, "method-not-allowed", "The method is not allowed here"),
            Self::ValidationFailed => (S::UNPROCESSABLE_ENTITY, "validation-failed", "Some fields are not valid"),
            Self::UpgradeRequired => (S::UPGRADE_REQUIRED, "upgrade-required", "This path speaks WebSocket"),
            Self::TooManySubscriptions => (S::TOO_MANY_REQUESTS, "too-many-subscriptions", "The connection follows too many orders"),
            Self::InternalError => (S::INTERNAL_SERVER_ERROR, "internal-error", "The server failed"),
            Self::OrderQuarantined => (S::SERVICE_UNAVAILABLE, "order-quarantined", "The order failed again and again and was set aside"),
            Self::OrderRestarted => (S::SERVICE_UNAVAILABLE, "order-restarted", "The order was started again under the request"),
            Self::Overloaded => (S::SERVICE_UNAVAILABLE, "overloaded", "Too many requests are waiting"),
            Self::Unavailable => (S::SERVICE_UNAVAILABLE, "unavailable", "Not available just now"),
        }
    }
}

impl Problem {
    /// A problem of `code`; `detail` says what is wrong this time.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let (status, name, title) = code.facts();
        Self {
            body: Body {
                kind: format!("/problems/{name}"),
                title,
                status: status.as_u16(),
                detail: detail.into(),
                code: name,
                instance: String::new(),
            },
            headers: HeaderMap::new(),
        }
    }

    /// With `Retry-After`, in whole seconds, at least one (RFC 9110 has no fractions).
    #[must_use]
    pub fn retry_after(self, wait: Duration) -> Self {
        let whole = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        self.header(header::RETRY_AFTER, HeaderValue::from(whole.max(1)))
    }

    /// With another header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// With the path of the request.
    #[must_use]
    pub fn at(mut self, path: &str) -> Self {
        path.clone_into(&mut self.body.instance);
        self
    }
}

/// When to come back: an order's actor, or another replica, is there again within about a second.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// An operator has to act first.
const RETRY_AFTER_QUARANTINE: Duration = Duration::from_secs(30);

/// This replica is stopping.
pub fn stopping() -> Problem {
    Problem::new(Code::Unavailable, "this replica is stopping").retry_after(RETRY_AFTER)
}

impl From<OrdersError> for Problem {
    fn from(error: OrdersError) -> Self {
        let detail = error.to_string();
        match error {
            OrdersError::NotFound => Self::new(Code::OrderNotFound, detail),
            OrdersError::Quarantined => {
                Self::new(Code::OrderQuarantined, detail).retry_after(RETRY_AFTER_QUARANTINE)
            }
            OrdersError::Restarted => {
                Self::new(Code::OrderRestarted, detail).retry_after(RETRY_AFTER)
            }
            OrdersError::Overloaded { retry_after } => {
                Self::new(Code::Overloaded, detail).retry_after(retry_after)
            }
            OrdersError::Unavailable { retry_after, .. } => {
                Self::new(Code::Unavailable, detail).retry_after(retry_after)
            }
            // A subscription changes nothing, so nothing of it can be refused as a change.
            OrdersError::Rejected(_)
            | OrdersError::PreconditionFailed { .. }
            | OrdersError::KeyReused
            | OrdersError::NotInTransit { .. } => Self::new(Code::InternalError, detail),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.body.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // Plain strings and numbers: writing them to memory has no way to fail.
        let body = serde_json::to_vec(&self.body).unwrap_or_default();
        let mut response = (status, self.headers, body).into_response();
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        response
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ErrorMessage<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: Option<uuid::Uuid>,
    problem: &'a Body,
}

/// The `error` message that tells of `problem`.
pub fn error_message(problem: &Problem, order: Option<OrderId>) -> Bytes {
    let message = ErrorMessage {
        kind: "error",
        order_id: order.map(|id| id.0),
        problem: &problem.body,
    };
    serde_json::to_vec(&message).unwrap_or_default().into()
}
