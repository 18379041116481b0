//! The one layer around the routes: refuses what HTTP forbids, catches panics, gives every error its form,
//! takes the unread rest of a body, counts, and logs at debug. It is one layer instead of a stack of
//! middlewares because each of those costs an allocation a request.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Method, Request, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use metrics::Counter;
use tower::Service as _;
use tracing::Level;

use super::problem::Problem;
use super::problem_code::Code;
use super::{request_head, unread};
use crate::telemetry::names;

/// What a listener serves. Cheap to clone.
#[derive(Clone)]
pub struct ApiService {
    router: Router,
    answers: Arc<[Counter; 5]>,
}

impl ApiService {
    /// Serves `router`. Must be made after the metrics recorder is installed, else it counts nothing.
    pub fn new(router: Router) -> Self {
        let class = |class| metrics::counter!(names::HTTP_REQUESTS, "class" => class);
        Self {
            router,
            answers: Arc::new(["1xx", "2xx", "3xx", "4xx", "5xx"].map(class)),
        }
    }

    /// Answers one request.
    pub async fn handle(&self, request: Request<Body>) -> Response {
        let uri = request.uri().clone();
        let method = request.method().clone();
        let watched = tracing::enabled!(Level::DEBUG).then(Instant::now);

        let (request, unwanted) = unread::lend(request);
        let response = match request_head::check(&request) {
            Ok(()) => self.route(request, &method, uri.path()).await,
            Err(problem) => problem.into_response(),
        };
        let mut response = in_form(response, &method, uri.path());
        if let Some(unwanted) = unwanted {
            unwanted.settle(&mut response).await;
        }
        if method == Method::GET || method == Method::HEAD {
            // Without this header a cache between us and the client may choose for itself how long an answer
            // is fresh.
            let kept = response.headers_mut().entry(header::CACHE_CONTROL);
            kept.or_insert(HeaderValue::from_static("no-cache"));
        }

        let status = response.status();
        let class = usize::from(status.as_u16() / 100).saturating_sub(1);
        if let Some(counter) = self.answers.get(class) {
            counter.increment(1);
        }
        if let Some(start) = watched {
            let micros = start.elapsed().as_micros();
            tracing::debug!(%method, path = uri.path(), status = status.as_u16(), micros, "answered");
        }
        response
    }

    async fn route(&self, request: Request<Body>, method: &Method, path: &str) -> Response {
        let mut router = self.router.clone();
        let answer = async move { router.call(request).await };
        match AssertUnwindSafe(answer).catch_unwind().await {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => absurd(never),
            Err(panic) => panicked(method, path, &*panic),
        }
    }
}

fn absurd(never: Infallible) -> Response {
    match never {}
}

#[cold]
fn panicked(method: &Method, path: &str, panic: &(dyn std::any::Any + Send)) -> Response {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    tracing::error!(%method, path, panic = text, "a handler panicked");
    Problem::new(Code::InternalError, "the request handler failed").into_response()
}

/// Puts `instance` into a problem, and turns any other error (the router's own 404 and 405, an extractor's
/// refusal) into a problem.
fn in_form(mut response: Response, method: &Method, path: &str) -> Response {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let problem = response
        .extensions_mut()
        .remove::<Problem>()
        .unwrap_or_else(|| of_status(&response, method, path));
    let mut formed = problem.at(path).into_response();
    for (name, value) in response.headers() {
        let of_body = [header::CONTENT_TYPE, header::CONTENT_LENGTH].contains(name);
        if !of_body {
            formed.headers_mut().insert(name, value.clone());
        }
    }
    formed
}

fn of_status(response: &Response, method: &Method, path: &str) -> Problem {
    let status = response.status();
    let allow = response
        .headers()
        .get(header::ALLOW)
        .and_then(|value| value.to_str().ok());
    let detail = match (status, allow) {
        (StatusCode::METHOD_NOT_ALLOWED, Some(allow)) => format!("{path} takes {allow}"),
        (StatusCode::NOT_FOUND, _) => format!("nothing is at {path}"),
        _ => {
            let reason = status.canonical_reason().unwrap_or("refused");
            format!("{method} {path}: {}", reason.to_lowercase())
        }
    };
    Problem::new(Code::of_status(status), detail).status(status)
}
