//! Each way in which a token may be bad, and the reason that is given for it.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use trackops::auth::TokenFault;
use trackops::auth::TokenFault::{
    Audience, Critical, Expired, Issuer, Kind, Malformed, NotYet, Role, Scope, Subject, Time,
    TooLong,
};
use trackops::auth::tokens::AccessTokens;
use trackops::auth::tokens::source::DocumentSource;
use trackops::config::oidc;

use super::super::support::LeapingClock;
use super::issuer::{self, FakeIssuer, ISSUER, Rig};
use super::signing_key::{SigningKey, unsigned};

fn with(claims: &Value, name: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    claims[name] = value;
    claims
}

fn without(claims: &Value, name: &str) -> Value {
    let mut claims = claims.clone();
    claims.as_object_mut().expect("claims").remove(name);
    claims
}

#[tokio::test]
async fn every_algorithm_proves_its_key() {
    let keys = [
        SigningKey::p256("p256"),
        SigningKey::p384("p384"),
        SigningKey::ed25519("ed"),
        SigningKey::rsa("rsa"),
    ];
    let rig = Rig::of(&keys.each_ref());
    let claims = rig.claims();
    let names = [
        ("ES256", 0),
        ("ES384", 1),
        ("EdDSA", 2),
        ("RS256", 3),
        ("RS384", 3),
        ("RS512", 3),
        ("PS256", 3),
        ("PS384", 3),
        ("PS512", 3),
    ];
    for (name, key) in names {
        let good = keys[key].token(name, &claims);
        assert_eq!(
            rig.identify(&good).await,
            Ok("service:ann".into()),
            "{name}"
        );
        // The signature of other claims.
        let other = keys[key].token(name, &with(&claims, "sub", json!("bob")));
        let (_, signature) = other.rsplit_once('.').expect("three parts");
        let (signed, _) = good.rsplit_once('.').expect("three parts");
        let forged = format!("{signed}.{signature}");
        rig.refused(&forged, TokenFault::Signature, name).await;
    }
}

#[tokio::test]
async fn an_algorithm_without_a_key_of_the_issuer_is_refused() {
    let key = SigningKey::rsa("k");
    let rig = Rig::of(&[&key]);
    let claims = rig.claims().to_string();
    for none in ["none", "None", "NONE", "nOnE"] {
        let header = format!(r#"{{"alg":"{none}","typ":"at+jwt","kid":"k"}}"#);
        let token = format!("{}.", unsigned(&header, &claims));
        rig.refused(&token, TokenFault::Algorithm, none).await;
    }
    // HMAC, with the public key for the secret that both know.
    let public = key.jwk();
    let modulus = URL_SAFE_NO_PAD.decode(public["n"].as_str().expect("n"));
    let secrets = [public.to_string().into_bytes(), modulus.expect("base64")];
    for secret in secrets {
        let header = r#"{"alg":"HS256","typ":"at+jwt","kid":"k"}"#;
        let signed = unsigned(header, &claims);
        let secret = hmac::Key::new(hmac::HMAC_SHA256, &secret);
        let mac = hmac::sign(&secret, signed.as_bytes());
        let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac));
        rig.refused(&token, TokenFault::Algorithm, "HMAC").await;
    }
    let header = r#"{"alg":"ES512","typ":"at+jwt","kid":"k"}"#;
    let token = format!("{}.c2ln", unsigned(header, &claims));
    rig.refused(&token, TokenFault::Algorithm, "ES512").await;
}

#[tokio::test]
async fn an_issuers_list_of_algorithms_is_kept_to() {
    let key = SigningKey::rsa("k");
    let issuers = oidc::parse(&format!("{ISSUER} audience=trackops algorithms=PS256"));
    let clock = Arc::new(LeapingClock::default());
    let source = FakeIssuer::of(&[&key]) as Arc<dyn DocumentSource>;
    let tokens = AccessTokens::new(issuers.expect("valid"), &source, clock);
    tokens.keep_fresh(&CancellationToken::new());
    let claims = issuer::claims(tokens.now().0 / 1_000);
    assert!(tokens.identify(&key.token("PS256", &claims)).await.is_ok());
    let refused = tokens.identify(&key.token("RS256", &claims)).await;
    let refused = refused
        .map(|proven| proven.caller)
        .expect_err("not on the list");
    assert_eq!(refused, TokenFault::Algorithm.into());
}

/// A claim that is changed, or taken away, and the fault that this is.
type Case = (&'static str, Option<Value>, TokenFault);

async fn each_is_refused(cases: impl IntoIterator<Item = Case>) {
    let key = SigningKey::p256("k");
    let rig = Rig::of(&[&key]);
    let good = rig.claims();
    assert!(rig.identify(&key.token("ES256", &good)).await.is_ok());
    for (name, value, fault) in cases {
        let what = format!("{name}: {value:?}");
        let claims = match value {
            Some(value) => with(&good, name, value),
            None => without(&good, name),
        };
        let token = key.token("ES256", &claims);
        rig.refused(&token, fault, &what).await;
    }
}

#[tokio::test]
async fn issuer_and_audience_are_exact_and_needed() {
    each_is_refused([
        ("aud", Some(json!("orders")), Audience),
        ("aud", Some(json!("trackops2")), Audience),
        ("aud", Some(json!("TrackOps")), Audience),
        ("aud", Some(json!(["a", "b"])), Audience),
        ("aud", Some(json!(["trackops", 1])), Audience),
        ("aud", Some(json!("shop")), Audience),
        ("aud", None, Audience),
        ("iss", Some(json!("https://id.example")), Issuer),
        ("iss", Some(json!(format!("{ISSUER}/"))), Issuer),
        ("iss", Some(json!("trackops")), Issuer),
        ("iss", Some(json!("")), Issuer),
        ("iss", Some(json!([ISSUER])), Issuer),
        ("iss", None, Issuer),
    ])
    .await;
    let key = SigningKey::p256("k");
    let rig = Rig::of(&[&key]);
    let both = with(&rig.claims(), "aud", json!(["orders", "trackops"]));
    assert!(rig.identify(&key.token("ES256", &both)).await.is_ok());
}

#[tokio::test]
async fn times_are_numbers_and_subjects_can_be_shown() {
    each_is_refused([
        ("exp", Some(json!("4102444800")), Time),
        ("exp", Some(Value::Null), Time),
        ("exp", None, Time),
        ("nbf", Some(json!("0")), Time),
        ("iat", Some(json!("0")), Time),
        ("sub", None, Subject),
        ("sub", Some(json!("")), Subject),
        ("sub", Some(json!(7)), Subject),
        ("sub", Some(json!("anonymous")), Subject),
        ("sub", Some(json!("a\nb")), Subject),
        ("sub", Some(json!("a\0b")), Subject),
        ("sub", Some(json!("\u{202e}nna")), Subject),
        ("sub", Some(json!("ann ")), Subject),
        ("sub", Some(json!("a".repeat(256))), Subject),
    ])
    .await;
    let key = SigningKey::p256("k");
    let rig = Rig::of(&[&key]);
    for name in ["a b", "auth0|0123", "f:12:ann", &"a".repeat(255)] {
        let token = key.token("ES256", &with(&rig.claims(), "sub", json!(name)));
        assert_eq!(rig.identify(&token).await, Ok(format!("service:{name}")));
    }
}

#[tokio::test]
async fn other_kinds_of_tokens_and_roles_without_their_scope_are_refused() {
    each_is_refused([
        ("nonce", Some(json!("n")), Kind),
        ("at_hash", Some(json!("n")), Kind),
        ("c_hash", Some(json!("n")), Kind),
        ("events", Some(json!({})), Kind),
        ("trackops_role", None, Role),
        ("trackops_role", Some(json!("root")), Role),
        ("trackops_role", Some(json!(["operator"])), Role),
        ("trackops_role", Some(json!("customer")), Scope),
        ("trackops_role", Some(json!("kitchen")), Scope),
        ("trackops_role", Some(json!("courier")), Scope),
        ("trackops_courier", Some(json!("c")), Scope),
        ("trackops_shops", Some(json!("north")), Scope),
        ("trackops_shops", Some(json!([1])), Scope),
        ("trackops_customer", Some(json!("ann")), Scope),
    ])
    .await;
}

#[tokio::test]
async fn clocks_may_differ_by_thirty_seconds() {
    let key = SigningKey::p256("k");
    let rig = Rig::of(&[&key]);
    let (good, now) = (rig.claims(), rig.now());
    for (claim, offset, fault) in [
        ("exp", -31, Some(Expired)),
        ("exp", -28, None),
        ("nbf", 32, Some(NotYet)),
        ("nbf", 28, None),
        ("iat", 32, Some(NotYet)),
        ("iat", 28, None),
    ] {
        let what = format!("{claim} {offset}");
        let token = key.token("ES256", &with(&good, claim, json!(now + offset)));
        match fault {
            Some(fault) => rig.refused(&token, fault, &what).await,
            None => assert!(rig.identify(&token).await.is_ok(), "{what}"),
        }
    }
    // Times may have fractions, and be far away.
    let half: Value = serde_json::from_str(&format!("{now}.5")).expect("a number");
    for exp in [json!(1.0e300), json!(i64::MAX), half] {
        let token = key.token("ES256", &with(&good, "exp", exp.clone()));
        assert!(rig.identify(&token).await.is_ok(), "{exp}");
    }
    let token = key.token("ES256", &with(&good, "exp", json!(-1.0e300)));
    rig.refused(&token, Expired, "far in the past").await;
}

#[tokio::test]
async fn the_form_is_strict() {
    let key = SigningKey::p256("k");
    let rig = Rig::of(&[&key]);
    let claims = rig.claims().to_string();
    let good = r#"{"alg":"ES256","typ":"at+jwt","kid":"k"}"#;
    let token = key.signed(good, &claims);
    assert!(rig.identify(&token).await.is_ok());
    let (signed, _) = token.rsplit_once('.').expect("three parts");
    let forms = [
        ("cut", &token[..token.len() - 1], Malformed),
        ("unsigned", signed, Malformed),
        ("padded", &format!("{token}=="), Malformed),
        ("four parts", &format!("{token}.e30"), Malformed),
        ("two tokens", &format!("{token},{token}"), Malformed),
        ("oversized", &"a".repeat(8 * 1024 + 1), TooLong),
        ("nothing", "", Malformed),
        ("dots", "...", Malformed),
    ];
    for (what, token, fault) in forms {
        rig.refused(token, fault, what).await;
    }
    let headers = [
        ("no JSON", "{", Malformed),
        (
            "twice",
            r#"{"alg":"ES256","alg":"ES256","typ":"at+jwt"}"#,
            Malformed,
        ),
        (
            "crit",
            r#"{"alg":"ES256","typ":"at+jwt","kid":"k","crit":["exp"]}"#,
            Critical,
        ),
        (
            "crit null",
            r#"{"alg":"ES256","typ":"at+jwt","kid":"k","crit":null}"#,
            Critical,
        ),
        ("no typ", r#"{"alg":"ES256","kid":"k"}"#, Kind),
        ("typ JWT", r#"{"alg":"ES256","typ":"JWT","kid":"k"}"#, Kind),
        (
            "a logout token",
            r#"{"alg":"ES256","typ":"logout+jwt","kid":"k"}"#,
            Kind,
        ),
    ];
    for (what, header, fault) in headers {
        rig.refused(&key.signed(header, &claims), fault, what).await;
    }
    for typ in ["application/at+jwt", "AT+JWT"] {
        let header = good.replace("at+jwt", typ);
        assert!(rig.identify(&key.signed(&header, &claims)).await.is_ok());
    }
    let twice = claims.replacen('{', r#"{"trackops_role":"viewer","#, 1);
    rig.refused(&key.signed(good, &twice), Malformed, "a claim twice")
        .await;
}

#[tokio::test]
async fn a_key_in_the_token_is_never_taken() {
    let (ours, theirs) = (SigningKey::p256("ours"), SigningKey::p256("theirs"));
    let rig = Rig::of(&[&ours]);
    let claims = rig.claims().to_string();
    for (name, value) in [
        ("jwk", theirs.jwk()),
        ("jku", json!("https://evil.example/keys")),
        ("x5u", json!("https://evil.example/chain")),
        ("x5c", json!(["MIIB"])),
    ] {
        let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": "theirs", name: value});
        let token = theirs.signed(&header.to_string(), &claims);
        rig.refused(&token, TokenFault::Key, name).await;
        let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": "ours", name: value});
        let token = theirs.signed(&header.to_string(), &claims);
        rig.refused(&token, TokenFault::Signature, name).await;
    }
    assert_eq!(rig.issuer.strange(), []);
}

#[tokio::test]
async fn where_typ_says_nothing_the_claims_must() {
    let key = SigningKey::p256("k");
    let rig = Rig::start(FakeIssuer::of(&[&key]), "typ=at+jwt,JWT");
    let good = rig.claims();
    let plain = |claims: &Value| {
        let header = r#"{"alg":"ES256","typ":"JWT","kid":"k"}"#;
        key.signed(header, &claims.to_string())
    };
    assert!(rig.identify(&plain(&good)).await.is_ok());
    assert!(rig.identify(&key.token("ES256", &good)).await.is_ok());
    let own = with(&good, "typ", json!("Bearer"));
    assert!(rig.identify(&plain(&own)).await.is_ok());
    for (what, claims) in [
        ("nonce", with(&good, "nonce", json!("n"))),
        ("Keycloak's", with(&good, "typ", json!("ID"))),
        ("Cognito's", with(&good, "token_use", json!("id"))),
        ("for its client", with(&good, "azp", json!("trackops"))),
        ("for the same", with(&good, "client_id", json!("trackops"))),
        ("a logout", with(&good, "events", json!({}))),
    ] {
        rig.refused(&plain(&claims), TokenFault::Kind, what).await;
    }
}
