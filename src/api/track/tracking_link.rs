//! Shared by the routes of tracking links: the order that a link is for, and refusals. They tell nothing but that
//! there is no such link, or that it can't be followed just now.

use axum::http::{HeaderValue, Uri, header};
use trackops_domain::access::Caller;
use trackops_domain::ids::OrderId;

use super::state::TrackState;
use crate::api::problem::Problem;
use crate::api::problem_code::Code;
use crate::auth::tracking_links::TrackingLinks;

/// The path of a link's routes as it is shown: without the token.
pub const SHOWN_PATH: &str = "/api/v1/tracking";

/// The state of the handlers of tracking links.
#[derive(Clone)]
pub struct TrackingState {
    /// What every live route has.
    pub live: TrackState,
    /// Reads tokens.
    pub links: TrackingLinks,
}

impl TrackingState {
    /// The order whose token is in the path of a request, which may be in no form that a token has.
    pub fn order_of(&self, uri: &Uri) -> Result<OrderId, Problem> {
        let below = uri.path().strip_prefix("/api/v1/tracking/");
        let token = below.and_then(|below| below.split('/').next());
        let order = token.and_then(|token| self.links.order_of(token));
        order.ok_or_else(not_found)
    }
}

/// On whose behalf an order is read for its link.
pub fn caller() -> Caller {
    Caller::Internal("tracking-link".into())
}

/// The one answer to a link that is wrong, has ended, or is of an order that isn't there.
pub fn not_found() -> Problem {
    no_cache(Problem::new(
        Code::TrackingLinkNotFound,
        "no such tracking link",
    ))
}

/// What is told of a `problem` with the order of a link.
pub fn told(problem: &Problem) -> Problem {
    if let Some(wait) = problem.passes_after() {
        let later = Problem::new(Code::Unavailable, "the order can't be followed just now");
        return no_cache(later.retry_after(wait));
    }
    match problem.code() {
        Code::OrderNotFound | Code::TrackingLinkNotFound => not_found(),
        _ => no_cache(Problem::new(Code::InternalError, "the request failed")),
    }
}

fn no_cache(problem: Problem) -> Problem {
    let value = HeaderValue::from_static("private, no-store");
    problem.header(header::CACHE_CONTROL, value)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::orders_error::OrdersError;

    #[test]
    fn a_refusal_tells_nothing_of_the_order() {
        let refused = |error: OrdersError| {
            let problem = told(&error.into());
            let text = serde_json::to_string(problem.body()).expect("JSON");
            (problem.code(), problem.passes_after(), text)
        };
        let (code, wait, _) = refused(OrdersError::Quarantined);
        assert_eq!(
            (code, wait),
            (Code::Unavailable, Some(Duration::from_secs(30)))
        );
        let (code, _, text) = refused(OrdersError::Broken { why: "SECRET" });
        assert_eq!(code, Code::InternalError);
        assert!(!text.contains("SECRET"), "{text}");
        for gone in [OrdersError::NotFound, OrdersError::Hidden] {
            let problem = told(&gone.into());
            assert_eq!(problem.code(), Code::TrackingLinkNotFound);
            assert!(problem.denial().is_none());
        }
    }
}
