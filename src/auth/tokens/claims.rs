//! What the claims of a token prove, once its signature is verified.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use trackops_domain::access::{Caller, Principal, Role, Subject};
use trackops_domain::time::Timestamp;

use super::compact::{Compact, Object};
use crate::auth::role_words::{Field, RoleWords};
use crate::auth::token_fault::TokenFault;
use crate::config::OidcIssuer;

/// By how much the issuer's clock may differ from ours.
pub const SKEW: Duration = Duration::from_secs(30);

/// The longest `sub` (`OpenID` Connect Core, 2).
const SUBJECT_CHARS_MAX: usize = 255;

/// Claims of ID tokens, of logout tokens and of security events: no access token has them.
const FOREIGN: [&str; 4] = ["nonce", "at_hash", "c_hash", "events"];

/// Who the token proves, and its `exp`.
pub struct Claimed {
    /// Who.
    pub caller: Caller,
    /// The end of the token; it is still taken for [`SKEW`] after it.
    pub expires_at: Timestamp,
}

/// Reads the claims of `token`, which `issuer` has signed.
pub fn read(
    issuer: &OidcIssuer,
    name: &Arc<str>,
    token: &Compact<'_>,
    now: Timestamp,
) -> Result<Claimed, TokenFault> {
    let claims = &token.claims;
    is_access_token(issuer, token)?;
    let audiences = texts(claims.get("aud")).unwrap_or_default();
    let is_ours = |audience: &&str| issuer.audiences.iter().any(|ours| ours == audience);
    if !audiences.iter().any(is_ours) {
        return Err(TokenFault::Audience);
    }
    let expires_at = time(claims, "exp")?.ok_or(TokenFault::Time)?;
    if has_passed(expires_at, now) {
        return Err(TokenFault::Expired);
    }
    for begin in ["nbf", "iat"] {
        let begin = time(claims, begin)?;
        if begin.is_some_and(|begin| begin.0 > later(now).0) {
            return Err(TokenFault::NotYet);
        }
    }
    let subject = claims.text("sub").filter(|name| is_subject(name));
    let subject = Subject {
        issuer: Arc::clone(name),
        name: subject.ok_or(TokenFault::Subject)?.into(),
    };
    let role = role(issuer, claims)?;
    Ok(Claimed {
        caller: Principal::new(subject, role).into(),
        expires_at,
    })
}

/// Whether a token that ends at `expires_at` isn't taken any more.
pub fn has_passed(expires_at: Timestamp, now: Timestamp) -> bool {
    now.0 >= later(expires_at).0
}

/// So much later as clocks may differ.
pub fn later(at: Timestamp) -> Timestamp {
    let skew = i64::try_from(SKEW.as_millis()).unwrap_or(i64::MAX);
    Timestamp(at.0.saturating_add(skew))
}

/// Refuses the other kinds of token that the same issuer signs with the same keys (RFC 9068, 4; RFC 8725, 3.11).
fn is_access_token(issuer: &OidcIssuer, token: &Compact<'_>) -> Result<(), TokenFault> {
    let claims = &token.claims;
    if FOREIGN.iter().any(|name| claims.get(name).is_some()) {
        return Err(TokenFault::Kind);
    }
    if !token.is_plain_jwt {
        return Ok(());
    }
    // `typ` doesn't tell, so the claims have to: Keycloak and Cognito name the kind, and an ID token is for the client
    // that has asked for it.
    let is_kind = |name: &str, kind: &str| {
        let named = claims.get(name).map(|value| value.as_str());
        named.is_none_or(|named| named.is_some_and(|named| named.eq_ignore_ascii_case(kind)))
    };
    let audiences = texts(claims.get("aud")).unwrap_or_default();
    let is_for_client = |name: &str| {
        let client = claims.text(name);
        let is_all = |client| audiences.iter().all(|audience| *audience == client);
        !audiences.is_empty() && client.is_some_and(is_all)
    };
    let is_one = issuer.takes_plain_jwt
        && is_kind("typ", "Bearer")
        && is_kind("token_use", "access")
        && !is_for_client("azp")
        && !is_for_client("client_id");
    is_one.then_some(()).ok_or(TokenFault::Kind)
}

/// A text, or a list of texts.
fn texts(value: Option<&Value>) -> Option<Vec<&str>> {
    match value? {
        Value::String(text) => Some(vec![text]),
        Value::Array(values) => values.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

/// Seconds since 1970, maybe with a fraction (RFC 7519, 2).
fn time(claims: &Object, name: &str) -> Result<Option<Timestamp>, TokenFault> {
    let Some(value) = claims.get(name) else {
        return Ok(None);
    };
    let seconds = value.as_f64().ok_or(TokenFault::Time)?;
    // A cast of a float stops at the limits; none of the two is near.
    #[expect(clippy::cast_possible_truncation, reason = "stops at the limits")]
    let millis = (seconds * 1_000.0) as i64;
    Ok(Some(Timestamp(millis)))
}

/// A name that can be shown, and isn't that of everybody.
fn is_subject(name: &str) -> bool {
    let is_printable = name.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    (1..=SUBJECT_CHARS_MAX).contains(&name.len())
        && is_printable
        && name.trim() == name
        && name != "anonymous"
}

fn role(issuer: &OidcIssuer, claims: &Object) -> Result<Role, TokenFault> {
    let names = &issuer.claims;
    let shops: Option<Vec<String>> = match claims.get(&names.shops) {
        Some(Value::Array(values)) => {
            let shops = values.iter().map(|shop| shop.as_str().map(str::to_owned));
            Some(shops.collect::<Option<_>>().ok_or(TokenFault::Scope)?)
        }
        Some(_) => return Err(TokenFault::Scope),
        None => None,
    };
    let text = |name: &str| match claims.get(name) {
        Some(value) => value.as_str().map(Some).ok_or(TokenFault::Scope),
        None => Ok(None),
    };
    let customer = text(&names.customer)?.map(uuid::Uuid::parse_str);
    let words = RoleWords {
        role: claims.text(&names.role).ok_or(TokenFault::Role)?,
        shops: shops.as_deref(),
        customer: customer.transpose().map_err(|_| TokenFault::Scope)?,
        courier: text(&names.courier)?,
    };
    words.read().map_err(|(field, _)| match field {
        Field::Role => TokenFault::Role,
        _ => TokenFault::Scope,
    })
}
