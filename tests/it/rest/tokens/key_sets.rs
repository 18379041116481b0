//! The keys of an issuer over time: rotated, unknown, away. Time stands still unless a test moves it.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::advance;
use trackops::auth::{Refusal, TokenFault};

use super::issuer::{FakeIssuer, Rig};
use super::signing_key::SigningKey;

/// Tokens that differ, so that each has to be verified.
fn token(key: &SigningKey, rig: &Rig, number: usize) -> String {
    let mut claims = rig.claims();
    claims["jti"] = json!(number.to_string());
    claims["exp"] = json!(rig.now() + 24 * 3_600);
    key.token("ES256", &claims)
}

#[tokio::test(start_paused = true)]
async fn unknown_keys_share_a_fetch_and_hold_nobody_up() {
    let (key, other) = (SigningKey::p256("k"), SigningKey::p256("other"));
    let issuer = FakeIssuer::slow(&[&key], Duration::from_millis(200));
    let rig = Rig::start(issuer, "");
    assert!(rig.identify(&token(&key, &rig, 0)).await.is_ok());
    let before = rig.issuer.fetches();
    let claims = rig.claims().to_string();
    let mut flood = JoinSet::new();
    for number in 0..10_000 {
        let header = format!(r#"{{"alg":"ES256","typ":"at+jwt","kid":"{number}"}}"#);
        let (tokens, token) = (Arc::clone(&rig.tokens), other.signed(&header, &claims));
        flood.spawn(async move { tokens.identify(&token).await.map(|proven| proven.caller) });
    }
    // All have asked, and wait for the one fetch. Good tokens don't.
    tokio::task::yield_now().await;
    let begun = tokio::time::Instant::now();
    assert!(rig.identify(&token(&key, &rig, 1)).await.is_ok());
    assert_eq!(begun.elapsed(), Duration::ZERO);
    while let Some(refused) = flood.join_next().await {
        let refused = refused.expect("no panic").expect_err("no such key");
        assert_eq!(refused, Refusal::Token(TokenFault::Key));
    }
    assert_eq!(rig.issuer.fetches(), before + 1);
    // More of them within ten seconds cause none, and wait for none.
    let begun = tokio::time::Instant::now();
    rig.refused(&token(&other, &rig, 2), TokenFault::Key, "at once")
        .await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(rig.issuer.fetches(), before + 1);
    advance(Duration::from_secs(10)).await;
    rig.refused(&token(&other, &rig, 3), TokenFault::Key, "later")
        .await;
    assert_eq!(rig.issuer.fetches(), before + 2);
}

#[tokio::test(start_paused = true)]
async fn a_key_of_tomorrow_is_fetched_at_once() {
    let (old, new) = (SigningKey::p256("old"), SigningKey::p256("new"));
    let issuer = FakeIssuer::slow(&[&old], Duration::from_millis(200));
    let rig = Rig::start(issuer, "");
    assert!(rig.identify(&token(&old, &rig, 0)).await.is_ok());
    rig.issuer.rotate(&[&new, &old]);
    let mut load = JoinSet::new();
    for number in 1..500 {
        let key = if number % 2 == 0 { &old } else { &new };
        let (tokens, token) = (Arc::clone(&rig.tokens), token(key, &rig, number));
        load.spawn(async move { tokens.identify(&token).await.map(|proven| proven.caller) });
    }
    while let Some(outcome) = load.join_next().await {
        outcome.expect("no panic").expect("a good token");
    }
    assert_eq!(rig.issuer.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_last_good_keys_go_on_for_an_hour() {
    let (key, other) = (SigningKey::p256("k"), SigningKey::p256("other"));
    let rig = Rig::of(&[&key]);
    assert!(rig.identify(&token(&key, &rig, 0)).await.is_ok());
    rig.issuer.set_away(true);
    for minute in 1..=59 {
        advance(Duration::from_mins(1)).await;
        let good = rig.identify(&token(&key, &rig, minute)).await;
        assert!(good.is_ok(), "minute {minute}: {good:?}");
    }
    // Nobody knows whether it has a new key.
    let unknown = rig.identify(&token(&other, &rig, 60)).await;
    assert_eq!(unknown, Err(Refusal::IssuerAway));
    advance(Duration::from_secs(61)).await;
    let late = rig.identify(&token(&key, &rig, 61)).await;
    assert_eq!(late, Err(Refusal::IssuerAway));
    rig.issuer.set_away(false);
    advance(Duration::from_secs(61)).await;
    assert!(rig.identify(&token(&key, &rig, 62)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_start_does_not_wait_for_the_issuer() {
    let key = SigningKey::p256("k");
    let issuer = FakeIssuer::slow(&[&key], Duration::from_secs(3_600));
    let rig = Rig::start(issuer, "");
    let begun = tokio::time::Instant::now();
    let refused = rig.identify(&token(&key, &rig, 0)).await;
    assert_eq!(refused, Err(Refusal::IssuerAway));
    assert!(begun.elapsed() <= Duration::from_secs(3), "{begun:?}");
}

#[tokio::test(start_paused = true)]
async fn a_known_token_is_verified_again_within_a_minute() {
    let (old, new) = (SigningKey::p256("old"), SigningKey::p256("new"));
    let rig = Rig::of(&[&old]);
    let known = token(&old, &rig, 0);
    assert!(rig.identify(&known).await.is_ok());
    // The issuer takes its key back. A token by the new one makes it known.
    rig.issuer.rotate(&[&new]);
    assert!(rig.identify(&token(&new, &rig, 1)).await.is_ok());
    advance(Duration::from_secs(59)).await;
    assert!(rig.identify(&known).await.is_ok());
    advance(Duration::from_secs(2)).await;
    rig.refused(&known, TokenFault::Key, "after a minute").await;
}

#[tokio::test(start_paused = true)]
async fn a_known_token_ends_at_its_time() {
    let key = SigningKey::p256("k");
    let rig = Rig::of(&[&key]);
    let mut claims = rig.claims();
    claims["exp"] = json!(rig.now() + 20);
    let short = key.token("ES256", &claims);
    assert!(rig.identify(&short).await.is_ok());
    rig.clock.put_forward(Duration::from_secs(48));
    assert!(rig.identify(&short).await.is_ok(), "clocks may differ");
    rig.clock.put_forward(Duration::from_secs(3));
    rig.refused(&short, TokenFault::Expired, "known before")
        .await;
}

#[tokio::test(start_paused = true)]
async fn keys_for_something_else_are_left_out() {
    let key = SigningKey::p256("k");
    let rsa = SigningKey::rsa("r");
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut jwk = key.jwk();
        change(&mut jwk);
        jwk
    };
    let weak = URL_SAFE_NO_PAD.encode([0xff; 128]);
    for (what, jwk) in [
        ("encryption", changed(&|jwk| jwk["use"] = json!("enc"))),
        (
            "operations",
            changed(&|jwk| jwk["key_ops"] = json!(["sign"])),
        ),
        ("algorithm", changed(&|jwk| jwk["alg"] = json!("ES384"))),
        (
            "no algorithm",
            changed(&|jwk| jwk["alg"] = json!("ECDH-ES")),
        ),
        ("curve", changed(&|jwk| jwk["crv"] = json!("P-384"))),
        ("point", changed(&|jwk| jwk["x"] = json!("AAAA"))),
        ("secret", json!({"kty": "oct", "kid": "k", "k": "c2VjcmV0"})),
        (
            "weak",
            json!({"kty": "RSA", "kid": "k", "n": weak, "e": "AQAB"}),
        ),
        ("no key", json!(["k"])),
    ] {
        let rig = Rig::of(&[]);
        *rig.issuer.keys.lock() = vec![jwk, rsa.jwk()];
        let good = rsa.token("RS256", &rig.claims());
        assert!(rig.identify(&good).await.is_ok(), "{what}");
        let refused = token(&key, &rig, 0);
        rig.refused(&refused, TokenFault::Key, what).await;
    }
    // Without a name the key must be the only one for its algorithm.
    let header = r#"{"alg":"ES256","typ":"at+jwt"}"#;
    let rig = Rig::of(&[&key, &rsa]);
    let nameless = key.signed(header, &rig.claims().to_string());
    assert!(rig.identify(&nameless).await.is_ok());
    let rig = Rig::of(&[&key, &SigningKey::p256("other")]);
    let nameless = key.signed(header, &rig.claims().to_string());
    rig.refused(&nameless, TokenFault::Key, "two keys").await;
}

#[tokio::test(start_paused = true)]
async fn a_discovery_document_is_of_this_issuer_and_leads_to_https() {
    let key = SigningKey::p256("k");
    let own = "https://id.example/realms/shop";
    for (issuer, keys) in [
        ("https://evil.example", format!("{own}/keys")),
        ("https://id.example/realms/shop/", format!("{own}/keys")),
        (own, "http://id.example/realms/shop/keys".into()),
        (own, "http://127.0.0.1/realms/shop/keys".into()),
        (own, "keys".into()),
    ] {
        let rig = Rig::of(&[&key]);
        *rig.issuer.discovery.lock() = json!({"issuer": issuer, "jwks_uri": keys});
        let refused = rig.identify(&token(&key, &rig, 0)).await;
        assert_eq!(refused, Err(Refusal::IssuerAway), "{issuer} {keys}");
        assert_eq!(rig.issuer.fetches(), 0);
    }
    // Keys whose place is configured need no discovery.
    let rig = Rig::start(FakeIssuer::of(&[&key]), &format!("jwks_url={own}/keys"));
    *rig.issuer.discovery.lock() = Value::Null;
    assert!(rig.identify(&token(&key, &rig, 0)).await.is_ok());
}
