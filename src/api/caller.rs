//! Who makes a request, for handlers. [`super::guard`] has put it there.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use trackops_domain::access::Caller;

use super::problem::Problem;
use super::problem_code::Code;

/// Who makes the request.
#[derive(Clone, Debug)]
pub struct By(pub Caller);

impl<S: Send + Sync> FromRequestParts<S> for By {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // Only a route without a guard has no caller, and a router with such a route isn't built.
        let unknown = || Problem::new(Code::InternalError, "nobody knows who asks");
        let caller = parts.extensions.get::<Caller>().cloned();
        caller.map(Self).ok_or_else(unknown)
    }
}
