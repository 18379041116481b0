//! Which kind of thing each route does, and the refusal of callers whose role may not do it. A router with a
//! route that has no rule isn't built; by its rule a route also has its class of limits. Leaves proving an identity to [`crate::auth`], and whose an order is to
//! the order's owner.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use axum::extract::Request;
use axum::http::Method;
use axum::response::{IntoResponse as _, Response};
use futures_util::future::Either;
use tower::{Layer, Service};
use trackops_domain::access::{Action, Caller};
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{OpenApi, PathItem};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use super::error_answers;
use super::limit_layer::{Classes, LimitLayer, class_of};
use super::problem::{Denied, Problem};
use super::problem_code::Code;
use super::route_times::{RouteTimes, TimedLayer};
use super::unknown::Unknown;
use crate::limits::Class;

/// The name of the security scheme in the OpenAPI document.
pub const SCHEME: &str = "bearer";

/// Lets a caller through to `routes`, the methods of one path, if its role may do the action that `rules` has for the
/// method. Each
/// method counts in the class of its action.
///
/// # Panics
///
/// If a method has no rule, or a rule no method: that is a fault of the program, and shows at its start.
pub fn guarded<S, const N: usize>(
    rules: &[(Method, Action); N],
    routes: UtoipaMethodRouter<S>,
) -> UtoipaMethodRouter<S>
where
    S: Clone + Send + Sync + 'static,
{
    guarded_as(Class::of, rules, routes)
}

/// As [`guarded`], for routes by which orders are followed: they count as such.
///
/// # Panics
///
/// As [`guarded`].
pub fn followed<S, const N: usize>(
    rules: &[(Method, Action); N],
    routes: UtoipaMethodRouter<S>,
) -> UtoipaMethodRouter<S>
where
    S: Clone + Send + Sync + 'static,
{
    guarded_as(|_| Some(Class::Subscribe), rules, routes)
}

fn guarded_as<S, const N: usize>(
    class: impl Fn(Action) -> Option<Class>,
    rules: &[(Method, Action); N],
    routes: UtoipaMethodRouter<S>,
) -> UtoipaMethodRouter<S>
where
    S: Clone + Send + Sync + 'static,
{
    let classes = rules
        .iter()
        .map(|(of, action)| (of.clone(), class(*action)));
    let classes = classes.collect::<Vec<_>>().leak();
    let (schemas, mut paths, methods) = routes;
    let mut times = Vec::with_capacity(N);
    for (path, item) in &mut paths.paths {
        for (method, operation) in operations(item) {
            let rule = rules.iter().find(|(of, _)| *of == method);
            assert!(rule.is_some(), "{method} {path} has no rule");
            times.push(RouteTimes::new(path, &method));
            let nothing: [&str; 0] = [];
            operation.security = Some(vec![SecurityRequirement::new(SCHEME, nothing)]);
            error_answers::guarded(operation, method != Method::GET);
            if class_of(classes, &method).is_some() {
                error_answers::limited(operation);
            }
        }
        assert_eq!(times.len(), N, "a rule of {path} has no method");
    }
    let guard = GuardLayer(rules.to_vec().leak());
    let limit = LimitLayer(Classes::Guarded(classes));
    // One layer of three, because each costs a request an allocation. The first is the outermost.
    let methods = methods.route_layer((TimedLayer(times.leak()), limit, guard));
    (schemas, paths, methods)
}

/// Lets everybody through to `routes`, also without a credential. They count in `class`; `None` has no limit.
pub fn open_to_all<S>(class: Option<Class>, routes: UtoipaMethodRouter<S>) -> UtoipaMethodRouter<S>
where
    S: Clone + Send + Sync + 'static,
{
    let (schemas, mut paths, methods) = routes;
    let mut times = Vec::new();
    for (path, item) in &mut paths.paths {
        for (method, operation) in operations(item) {
            operation.security = Some(Vec::new());
            times.push(RouteTimes::new(path, &method));
            if class.is_some() {
                error_answers::limited(operation);
            }
        }
    }
    let limit = LimitLayer(Classes::Open(class));
    let methods = methods.route_layer((TimedLayer(times.leak()), limit));
    (schemas, paths, methods)
}

/// The router and its document.
///
/// # Panics
///
/// If a route is neither [`guarded`] nor [`open_to_all`].
pub fn checked<S>(router: OpenApiRouter<S>) -> (axum::Router<S>, OpenApi)
where
    S: Clone + Send + Sync + 'static,
{
    let (router, mut document) = router.split_for_parts();
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            let says = operation.security.is_some();
            assert!(says, "nobody says who may {method} {path}");
        }
    }
    (router, document)
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    let all = [
        (Method::GET, &mut item.get),
        (Method::PUT, &mut item.put),
        (Method::POST, &mut item.post),
        (Method::DELETE, &mut item.delete),
        (Method::OPTIONS, &mut item.options),
        (Method::HEAD, &mut item.head),
        (Method::PATCH, &mut item.patch),
        (Method::TRACE, &mut item.trace),
    ];
    all.into_iter()
        .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

#[derive(Clone, Copy)]
struct GuardLayer(&'static [(Method, Action)]);

impl<S> Layer<S> for GuardLayer {
    type Service = Guard<S>;

    fn layer(&self, inner: S) -> Guard<S> {
        Guard {
            rules: self.0,
            inner,
        }
    }
}

#[derive(Clone)]
struct Guard<S> {
    rules: &'static [(Method, Action)],
    inner: S,
}

impl<S> Service<Request> for Guard<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<Ready<Result<Response, Infallible>>, S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        match self.refusal(&request) {
            None => Either::Right(self.inner.call(request)),
            Some(problem) => Either::Left(ready(Ok(problem.into_response()))),
        }
    }
}

impl<S> Guard<S> {
    fn refusal(&self, request: &Request) -> Option<Problem> {
        let method = match request.method() {
            // Whoever may read may ask for the head alone.
            head if head == Method::HEAD => &Method::GET,
            method => method,
        };
        let rule = self.rules.iter().find(|(of, _)| of == method);
        // The path doesn't take this method, and says so itself.
        let (_, action) = rule?;
        let extensions = request.extensions();
        match (extensions.get::<Caller>(), extensions.get::<Unknown>()) {
            (Some(caller), _) if caller.may(*action) => None,
            (Some(caller), _) => Some(forbidden(caller, *action)),
            (None, Some(Unknown(problem))) => Some(problem.clone()),
            (None, None) => Some(Problem::new(Code::InternalError, "nobody knows who asks")),
        }
    }
}

fn forbidden(caller: &Caller, action: Action) -> Problem {
    let role = caller.role().map_or("this", |role| role.name());
    let problem = if action == Action::ReadReservations {
        // Whether there is a reservation says whether there is an order.
        Problem::new(Code::ReservationNotFound, "no such reservation")
    } else {
        let detail = format!("the role {role} may not do this ({})", action.as_str());
        Problem::new(Code::Forbidden, detail)
    };
    problem.denied(Denied::Role)
}
