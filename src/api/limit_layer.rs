//! Counts the requests of a route, each in its class, and answers those over the limit. A listener without limits
//! puts no [`Counted`] into its requests, and nothing is counted.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use axum::extract::Request;
use axum::http::Method;
use axum::response::{IntoResponse as _, Response};
use futures_util::future::{BoxFuture, Either};
use tower::{Layer, Service};
use trackops_domain::access::Caller;

use super::counted::{Counted, NotYet};
use super::unknown::Unknown;
use crate::limits::Class;

/// The classes of a path.
#[derive(Clone, Copy)]
pub enum Classes {
    /// Of a path for proven callers: those of its methods. `None` has no limit.
    Guarded(&'static [(Method, Option<Class>)]),
    /// Of a path for everybody.
    Open(Option<Class>),
}

/// See the module.
#[derive(Clone, Copy)]
pub struct LimitLayer(pub Classes);

impl<S> Layer<S> for LimitLayer {
    type Service = Limit<S>;

    fn layer(&self, inner: S) -> Limit<S> {
        Limit {
            classes: self.0,
            inner,
        }
    }
}

/// See the module.
#[derive(Clone)]
pub struct Limit<S> {
    classes: Classes,
    inner: S,
}

type Answer = Result<Response, Infallible>;
/// Over the limit, or once that is known.
type Held = Either<Ready<Answer>, BoxFuture<'static, Answer>>;

impl<S> Service<Request> for Limit<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<Held, S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        match self.admit(&request) {
            Ok(()) => Either::Right(self.inner.call(request)),
            Err((_, NotYet::Refused(problem))) => {
                Either::Left(Either::Left(ready(Ok(problem.into_response()))))
            }
            Err((counted, NotYet::Pending(pending))) => {
                // The service that is ready is this one, not its clone.
                let next = self.inner.clone();
                let mut inner = std::mem::replace(&mut self.inner, next);
                Either::Left(Either::Right(Box::pin(async move {
                    match counted.settle(pending).await {
                        Ok(()) => inner.call(request).await,
                        Err(problem) => Ok(problem.into_response()),
                    }
                })))
            }
        }
    }
}

impl<S> Limit<S> {
    fn admit(&self, request: &Request) -> Result<(), (Counted, NotYet)> {
        let extensions = request.extensions();
        let Some(counted) = extensions.get::<Counted>() else {
            return Ok(());
        };
        let caller = extensions.get::<Caller>();
        let admitted = match self.classes {
            Classes::Open(None) => Ok(()),
            Classes::Open(Some(class)) => counted.admit(class, caller),
            Classes::Guarded(classes) => match class_of(classes, request.method()) {
                None => Ok(()),
                Some(_) if extensions.get::<Unknown>().is_some() => counted.admit_unknown(),
                Some(class) => counted.admit(class, caller),
            },
        };
        admitted.map_err(|not_yet| (counted.clone(), not_yet))
    }
}

/// The class of `method`.
pub fn class_of(classes: &[(Method, Option<Class>)], method: &Method) -> Option<Class> {
    let method = match method {
        // The head costs what the whole does.
        head if head == Method::HEAD => &Method::GET,
        method => method,
    };
    // The path doesn't take another method, and says so itself.
    let (_, class) = classes.iter().find(|(of, _)| of == method)?;
    *class
}
