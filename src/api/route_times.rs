//! How long requests take, by route, method and class of status. The route is known only inside the router, and
//! the time and the status only around it: a request carries a note from the one to the other.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::http::{Method, StatusCode};
use metrics::Histogram;

use crate::telemetry::names;

/// The classes of status, by their first digit.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The times of one method of one route. A recorder of metrics has to be installed before the first request.
#[derive(Debug)]
pub struct RouteTimes {
    route: String,
    method: String,
    classes: [OnceLock<Histogram>; 5],
}

impl RouteTimes {
    /// Those of `method` at `route`, which is a path with its parameters in braces.
    pub fn new(route: &str, method: &Method) -> Self {
        Self::named(route, method.as_str())
    }

    /// Those of requests that reach no route of the API: a wrong path or method, a foreign `Host`, a page.
    pub fn of_others() -> Self {
        Self::named("other", "other")
    }

    fn named(route: &str, method: &str) -> Self {
        Self {
            route: route.to_owned(),
            method: method.to_owned(),
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
        let (route, method) = (self.route.clone(), self.method.clone());
        metrics::histogram!(names::HTTP_REQUEST_DURATION,
            "route" => route, "method" => method, "class" => class)
    }
}

/// Which route a request has reached: an extension of the request, and a copy outside the router.
#[derive(Clone, Debug, Default)]
pub struct Reached(Arc<OnceLock<&'static RouteTimes>>);

impl Reached {
    /// Says that the request has reached the route of `times`.
    pub fn note(&self, times: &'static RouteTimes) {
        // A request reaches one route.
        let _ = self.0.set(times);
    }

    /// The times of the route, if the request has reached one.
    pub fn times(&self) -> Option<&'static RouteTimes> {
        self.0.get().copied()
    }
}
