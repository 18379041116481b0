//! What requests leave in the audit: every denial, and everything that operations do.

use axum::http::{Method, Request};
use axum::response::Response;
use trackops_domain::access::Caller;

use super::problem::{Denied, Problem};
use crate::auth::audit::AuditLog;
use crate::telemetry::names;

/// What a request was about, where its path doesn't say it; on the answer.
#[derive(Clone, Debug)]
pub struct AuditTarget(pub String);

/// Keeps and counts a denial. `who`: `None` for somebody without a valid credential, of whom there may be a flood
/// of any paths: such are told apart by nothing.
pub fn deny(audit: &AuditLog, who: Option<&str>, action: &str, target: &str, denied: Denied) {
    metrics::counter!(names::AUTH_DENIED, "reason" => denied.as_str()).increment(1);
    let outcome = format!("denied: {}", denied.as_str());
    match who {
        Some(who) => audit.deny(who, action, &without_keys(target), &outcome),
        None => audit.deny("nobody", "any", "any", &outcome),
    }
}

/// Keeps the denial that `response` is, if it is one.
pub fn denial(
    audit: &AuditLog,
    caller: Option<&Caller>,
    method: &Method,
    path: &str,
    response: &Response,
) {
    let problem = response.extensions().get::<Problem>();
    if let Some(denied) = problem.and_then(Problem::denial) {
        let who = caller.map(Caller::audited);
        deny(audit, who.as_deref(), method.as_str(), path, denied);
    }
}

/// An action of operations that has begun. If nobody says how it ended, it was cut off: it may have happened.
pub struct Act<'a> {
    audit: &'a AuditLog,
    caller: Caller,
    method: Method,
    path: String,
    is_told: bool,
}

impl<'a> Act<'a> {
    /// The action that `request` asks for, if it is one of operations.
    pub fn of<B>(audit: &'a AuditLog, request: &Request<B>) -> Option<Self> {
        let (method, path) = (request.method(), request.uri().path());
        let caller = request.extensions().get::<Caller>()?;
        let is_admins = !method.is_safe() && path.starts_with("/admin/");
        is_admins.then(|| Self {
            audit,
            caller: caller.clone(),
            method: method.clone(),
            path: path.to_owned(),
            is_told: false,
        })
    }

    /// It has ended so. A denial is kept as such.
    pub fn ended(mut self, response: &Response) {
        self.is_told = true;
        let problem = response.extensions().get::<Problem>();
        if problem.is_some_and(|problem| problem.denial().is_some()) {
            return;
        }
        let outcome = if response.status().is_success() {
            "done".to_owned()
        } else {
            format!("failed: {}", response.status().as_u16())
        };
        let named = response.extensions().get::<AuditTarget>();
        self.keep(named.map(|target| target.0.as_str()), &outcome);
    }

    fn keep(&self, named: Option<&str>, outcome: &str) {
        let target = match named {
            Some(named) => format!("{} {named}", self.path),
            None => without_keys(&self.path),
        };
        let who = self.caller.audited();
        self.audit.act(&who, self.method.as_str(), &target, outcome);
    }
}

impl Drop for Act<'_> {
    fn drop(&mut self) {
        if !self.is_told {
            self.keep(None, "cut off");
        }
    }
}

/// A path may have a whole key or token in it by mistake. The head of every token begins with `{"`, which is `eyJ`.
fn without_keys(path: &str) -> String {
    let parts = path.split('/').map(|part| match part.get(..3) {
        Some("tk_") => "tk_…",
        Some("eyJ") => "eyJ…",
        _ => part,
    });
    parts.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_a_path_is_left_out() {
        let path = "/admin/v1/keys/tk_0123456789abcdef_secret/revoke";
        assert_eq!(without_keys(path), "/admin/v1/keys/tk_…/revoke");
        let path = "/api/v1/orders/eyJhbGciOiJFUzI1NiJ9.e30.c2ln";
        assert_eq!(without_keys(path), "/api/v1/orders/eyJ…");
        assert_eq!(without_keys("/api/v1/orders"), "/api/v1/orders");
    }
}
