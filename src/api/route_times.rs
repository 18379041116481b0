//! How long requests take, by route, method and class of status. The route is known only inside the router, and
//! the time and the status only around it: a request carries a note from the one to the other.

use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::Request;
use axum::http::{Method, StatusCode};
use metrics::Histogram;
use tower::{Layer, Service};

use crate::telemetry::names;

/// The classes of status, by their first digit.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The times of one method of one route. A recorder of metrics has to be installed before the first request.
#[derive(Debug)]
pub struct RouteTimes {
    route: String,
    /// Of which method these are; `None` for others.
    method: Option<Method>,
    classes: [OnceLock<Histogram>; 5],
}

impl RouteTimes {
    /// Those of `method` at `route`, which is a path with its parameters in braces.
    pub fn new(route: &str, method: &Method) -> Self {
        Self::named(route, Some(method.clone()))
    }

    /// Those of requests that reach no route of the API: a wrong path or method, a foreign `Host`, a page.
    pub fn of_others() -> Self {
        Self::named("other", None)
    }

    fn named(route: &str, method: Option<Method>) -> Self {
        Self {
            route: route.to_owned(),
            method,
            classes: Default::default(),
        }
    }

    /// Notes that a request was answered with `status` after `duration`.
    pub fn record(&self, status: StatusCode, duration: Duration) {
        let class = usize::from(status.as_u16() / 100).saturating_sub(1);
        if let (Some(histogram), Some(name)) = (self.classes.get(class), CLASSES.get(class)) {
            let histogram = histogram.get_or_init(|| self.histogram(name));
            histogram.record(duration.as_secs_f64());
        }
    }

    fn histogram(&self, class: &'static str) -> Histogram {
        let method = self.method.as_ref().map_or("other", Method::as_str);
        let (route, method) = (self.route.clone(), method.to_owned());
        metrics::histogram!(names::HTTP_REQUEST_DURATION,
            "route" => route, "method" => method, "class" => class)
    }
}

/// Which route a request has reached: an extension of the request, and a copy outside the router.
#[derive(Clone, Debug, Default)]
pub struct Reached(Arc<OnceLock<&'static RouteTimes>>);

impl Reached {
    /// The times of the route, if the request has reached one.
    pub fn times(&self) -> Option<&'static RouteTimes> {
        self.0.get().copied()
    }
}

/// Notes which route a request has reached: one of those of a path, by its method.
#[derive(Clone, Copy, Debug)]
pub struct TimedLayer(pub &'static [RouteTimes]);

impl<S> Layer<S> for TimedLayer {
    type Service = Timed<S>;

    fn layer(&self, inner: S) -> Timed<S> {
        let TimedLayer(methods) = *self;
        Timed { methods, inner }
    }
}

/// See [`TimedLayer`].
#[derive(Clone, Debug)]
pub struct Timed<S> {
    methods: &'static [RouteTimes],
    inner: S,
}

impl<S: Service<Request>> Service<Request> for Timed<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> S::Future {
        let method = match request.method() {
            head if head == Method::HEAD => &Method::GET,
            method => method,
        };
        let mut known = self.methods.iter();
        if let Some(Reached(reached)) = request.extensions().get()
            && let Some(times) = known.find(|times| times.method.as_ref() == Some(method))
        {
            // A request reaches one route.
            let _ = reached.set(times);
        }
        self.inner.call(request)
    }
}
