//! The one layer around the routes: refuses what HTTP forbids, catches panics, gives every error its form,
//! takes the unread rest of a body, counts, and logs at debug. It is one layer instead of a stack of
//! middlewares because each of those costs an allocation a request.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri, Version, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use metrics::Counter;
use tokio::time::Instant;
use tower::Service as _;
use trackops_domain::access::Caller;

use super::audited::Act;
use super::client_address::Ends;
use super::counted::{Counted, Limited};
use super::failure_log::{self, Failed, FailureLog};
use super::problem::Problem;
use super::problem_code::Code;
use super::request_headers::Trace;
use super::route_times::{Reached, RouteTimes};
use super::shown_path::shown_path;
use super::site_policy::SitePolicy;
use super::unknown::Unknown;
use super::{audited, cors, credential, request_head, site_policy, unread};
use crate::auth::Auth;
use crate::telemetry::names;

/// Browsers don't guess a body's type, and tell no other site which order somebody looked at.
const SAFE_BROWSING: [(HeaderName, &str); 2] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
];

/// What a listener serves. Cheap to clone.
#[derive(Clone)]
pub struct ApiService {
    router: Router,
    /// The same for requests that a page of another origin may send; `None` where none may.
    cors: Option<Router>,
    policy: Arc<SitePolicy>,
    auth: Auth,
    limited: Option<Limited>,
    /// Goes before the path of a problem's page.
    problem_base_url: Arc<str>,
    common: Arc<Common>,
}

/// What all requests share.
struct Common {
    answers: [Counter; 5],
    others: RouteTimes,
    failures: FailureLog,
}

impl ApiService {
    /// Serves `router` to the names and pages of `policy`, and to callers who `auth` finds to be somebody. Must be
    /// made after the metrics recorder is installed, else it counts nothing.
    pub fn new(router: Router, policy: SitePolicy, auth: Auth) -> Self {
        let class = |class| metrics::counter!(names::HTTP_REQUESTS, "class" => class);
        Self {
            cors: cors::with_cors(&router, policy.origins()),
            router,
            policy: Arc::new(policy),
            auth,
            limited: None,
            problem_base_url: "".into(),
            common: Arc::new(Common {
                answers: ["1xx", "2xx", "3xx", "4xx", "5xx"].map(class),
                others: RouteTimes::of_others(),
                failures: FailureLog::default(),
            }),
        }
    }

    /// The same, with absolute URLs of the problems' pages, which begin with `base`.
    #[must_use]
    pub fn with_problem_pages_at(mut self, base: &str) -> Self {
        self.problem_base_url = base.trim_end_matches('/').into();
        self
    }

    /// With limits of how much each caller may ask.
    #[must_use]
    pub fn limited(mut self, limited: Option<Limited>) -> Self {
        self.limited = limited;
        self
    }

    /// Answers one request, which came over a connection of these `ends`.
    pub async fn handle(&self, mut request: Request<Body>, ends: Ends) -> Response {
        let start = Instant::now();
        let uri = request.uri().clone();
        let path = shown_path(uri.path());
        let (method, version) = (request.method().clone(), request.version());
        let trace = Trace::of(&mut request);
        let request_id = failure_log::request_id(request.headers()).map(str::to_owned);
        let reached = Reached::default();
        request.extensions_mut().insert(reached.clone());

        let (mut request, unwanted) = unread::lend(request);
        let checked =
            request_head::check(&request).and_then(|()| self.policy.check(&request, ends.local));
        let is_simple = checked.is_ok() && site_policy::is_simple_post(&request);
        let (mut caller, limited) = (None, self.limited.as_ref());
        let counted = limited.map(|limited| limited.count(&mut request, ends.peer));
        let response = match checked {
            Ok(()) if is_simple && self.takes_post(&uri).await => {
                site_policy::simple_post().into_response()
            }
            Ok(()) => {
                let request = self.identified(request, counted.as_ref()).await;
                caller = request.extensions().get::<Caller>().cloned();
                let is_guess =
                    caller.is_none() && !matches!(credential::of(request.headers()), Ok(None));
                let act = Act::of(&self.auth.audit, &request);
                let response = self.route(request, &method, path).await;
                if let Some(act) = act {
                    act.ended(&response);
                }
                if is_guess && let Some(counted) = &counted {
                    // Where the route has no limit, or isn't there, it has still been looked up.
                    counted.guessed().await;
                }
                response
            }
            Err(problem) => problem.into_response(),
        };
        let response = with_options(response);
        let response = if method == Method::OPTIONS {
            options(response, path)
        } else {
            response
        };
        let audit = &self.auth.audit;
        audited::denial(audit, caller.as_ref(), &method, path, &response);
        let failed = Failed {
            method: &method,
            path,
            trace_id: trace.id(),
            request_id: request_id.as_deref(),
        };
        let mut response = self.in_form(response, failed);
        if let Some(counted) = counted {
            counted.add_fields(response.headers_mut());
        }
        if let Some(unwanted) = unwanted {
            unwanted.settle(&mut response).await;
        }
        if method == Method::GET || method == Method::HEAD {
            // Without this header a cache between us and the client may choose for itself how long an answer
            // is fresh.
            let kept = response.headers_mut().entry(header::CACHE_CONTROL);
            kept.or_insert(HeaderValue::from_static("no-cache"));
        }
        if method == Method::HEAD {
            response = without_body(response);
        }
        for (name, value) in SAFE_BROWSING {
            response
                .headers_mut()
                .insert(name, HeaderValue::from_static(value));
        }

        if version == Version::HTTP_2 {
            // They are of one connection of HTTP/1.1 (RFC 9113, 8.2.2).
            response.headers_mut().remove(header::CONNECTION);
            response.headers_mut().remove(header::UPGRADE);
        }

        let status = response.status();
        let class = usize::from(status.as_u16() / 100).saturating_sub(1);
        if let Some(counter) = self.common.answers.get(class) {
            counter.increment(1);
        }
        let took = start.elapsed();
        let times = reached.times().unwrap_or(&self.common.others);
        times.record(status, took);
        let micros = took.as_micros();
        tracing::debug!(%method, path, status = status.as_u16(), micros, "answered");
        response
    }

    /// The request with its caller, or why it has none. The guard of the route asks for it.
    async fn identified(
        &self,
        mut request: Request<Body>,
        counted: Option<&Counted>,
    ) -> Request<Body> {
        let caller = match credential::of(request.headers()) {
            Ok(credential) => {
                let credential = credential.as_deref();
                // A flood of guesses doesn't reach the database, and whose key is in memory is let through.
                let refused = counted
                    .filter(|_| self.auth.has_to_look_up(credential))
                    .and_then(Counted::refuse_lookup);
                if let Some(problem) = refused {
                    request.extensions_mut().insert(Unknown(problem));
                    return request;
                }
                self.auth.identify(credential).await
            }
            // Where nobody needs a credential a broken one is no worse than none.
            Err(refusal) if self.auth.is_required() => Err(refusal),
            Err(_) => self.auth.identify(None).await,
        };
        match caller {
            Ok(caller) => drop(request.extensions_mut().insert(caller)),
            Err(refusal) => {
                let unknown = Unknown(credential::refused(refusal));
                drop(request.extensions_mut().insert(unknown));
            }
        }
        request
    }

    /// Whether the path takes a `POST`. Nobody handles `OPTIONS`, so no handler runs.
    async fn takes_post(&self, uri: &Uri) -> bool {
        let mut asked = Request::new(Body::empty());
        *asked.method_mut() = Method::OPTIONS;
        *asked.uri_mut() = uri.clone();
        let answer = self
            .route(asked, &Method::OPTIONS, shown_path(uri.path()))
            .await;
        let allow = answer.headers().get(header::ALLOW);
        allow.is_some_and(|allow| allow.to_str().is_ok_and(|allow| allow.contains("POST")))
    }

    /// Routes the request. `path` is its path as it may be shown.
    async fn route(&self, request: Request<Body>, method: &Method, path: &str) -> Response {
        let cors = self.cors.as_ref().filter(|_| cors::is_for_cors(&request));
        let mut router = cors.unwrap_or(&self.router).clone();
        let answer = async move { router.call(request).await };
        match AssertUnwindSafe(answer).catch_unwind().await {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => absurd(never),
            Err(panic) => panicked(method, path, &*panic),
        }
    }

    /// Completes a problem by what only the request tells, turns any other error (the router's own 404 and 405,
    /// an extractor's refusal) into a problem, and logs a failure.
    fn in_form(&self, mut response: Response, failed: Failed<'_>) -> Response {
        let status = response.status();
        if !status.is_client_error() && !status.is_server_error() {
            return response;
        }
        let problem = response
            .extensions_mut()
            .remove::<Problem>()
            .unwrap_or_else(|| of_status(&response, failed.method, failed.path));
        if status.is_server_error() {
            self.common.failures.failed(failed, status, &problem);
        }
        let problem = problem.at(failed.path).traced(failed.trace_id);
        let mut formed = problem.with_page_at(&self.problem_base_url).into_response();
        for (name, value) in response.headers() {
            let of_body = [header::CONTENT_TYPE, header::CONTENT_LENGTH].contains(name);
            if !of_body {
                formed.headers_mut().insert(name, value.clone());
            }
        }
        formed
    }
}

/// Every path takes `OPTIONS`, which the router doesn't know.
fn with_options(mut response: Response) -> Response {
    if response.status() == StatusCode::METHOD_NOT_ALLOWED
        && let Some(allow) = response.headers_mut().get_mut(header::ALLOW)
        && let Ok(longer) = HeaderValue::from_bytes(&[allow.as_bytes(), b",OPTIONS"].concat())
    {
        *allow = longer;
    }
    response
}

/// The answer to `HEAD` (RFC 9110, 9.3.2). The router takes the body away only where a handler gave it.
fn without_body(mut response: Response) -> Response {
    if response.body().is_end_stream() {
        return response;
    }
    if let Some(bytes) = response.body().size_hint().exact() {
        let length = response.headers_mut().entry(header::CONTENT_LENGTH);
        length.or_insert(bytes.into());
    }
    response.map(|_| Body::empty())
}

/// `OPTIONS` on a path that exists says which methods the path takes (RFC 9110, 9.3.7), and on `*` that the
/// server is there.
fn options(response: Response, path: &str) -> Response {
    if path == "*" {
        return StatusCode::NO_CONTENT.into_response();
    }
    match (response.status(), response.headers().get(header::ALLOW)) {
        (StatusCode::METHOD_NOT_ALLOWED, Some(allow)) => {
            (StatusCode::NO_CONTENT, [(header::ALLOW, allow.clone())]).into_response()
        }
        _ => response,
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
