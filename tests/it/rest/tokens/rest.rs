//! Tokens at the API, beside keys.

use axum::body::Body;
use serde_json::{Value, json};
use trackops::ports::clock::Clock as _;
use trackops_domain::access::Role;
use uuid::Uuid;

use super::super::support::{Answer, Api, pizza};
use super::issuer::{FakeIssuer, claims};
use super::signing_key::SigningKey;
use crate::support::wait::until;

const ANN: u128 = 0xa;

fn bearer(key: &SigningKey, api: &Api, change: impl FnOnce(&mut Value)) -> String {
    let mut claims = claims(api.clock.now().0 / 1_000);
    change(&mut claims);
    format!("Bearer {}", key.token("ES256", &claims))
}

async fn get(api: &Api, credential: &str, path: &str) -> Answer {
    let headers = [("authorization", credential)];
    api.send("GET", path, &headers, Body::empty()).await
}

#[tokio::test]
async fn a_token_places_reads_and_is_named_in_the_history() {
    let key = SigningKey::p256("k");
    let api = Api::with_issuer(FakeIssuer::of(&[&key])).await;
    let ann = bearer(&key, &api, |claims| {
        claims["trackops_role"] = json!("customer");
        claims["trackops_customer"] = json!(Uuid::from_u128(ANN));
    });
    let mut order = pizza();
    order.as_object_mut().expect("fields").remove("customerId");
    let headers = [("authorization", &*ann)];
    let placed = api.json_with("POST", "/api/v1/orders", &headers, &order);
    let placed = placed.await;
    assert_eq!(placed.status, 201, "{}", placed.text);
    let view = placed.json();
    assert_eq!(view["customerId"], json!(Uuid::from_u128(ANN)));
    let path = format!("/api/v1/orders/{}", view["id"].as_str().expect("an id"));
    let history = get(&api, &ann, &format!("{path}/history")).await.json();
    assert_eq!(history["items"][0]["by"], "customer:ann");
    // Another customer of the same issuer.
    let bob = bearer(&key, &api, |claims| {
        claims["sub"] = json!("bob");
        claims["trackops_role"] = json!("customer");
        claims["trackops_customer"] = json!(Uuid::from_u128(0xb));
    });
    get(&api, &bob, &path)
        .await
        .problem(404, "order-not-found", &path);
    // Keys go on beside tokens.
    let service = api.key("shop", Role::Service).await;
    assert_eq!(get(&api, &service, &path).await.status, 200);
    let bad_key = get(&api, "Bearer tk_x", &path).await;
    let challenge = bad_key.header("www-authenticate").expect("a challenge");
    assert!(challenge.contains("no API key"), "{challenge}");
}

#[tokio::test]
async fn the_challenge_says_why_and_tells_nothing_else() {
    let key = SigningKey::p256("k");
    let api = Api::with_issuer(FakeIssuer::of(&[&key])).await;
    let path = format!("/api/v1/orders/{}", Uuid::from_u128(1));
    let now = api.clock.now().0 / 1_000;
    let cases: [(Value, Value, &str); 4] = [
        (json!("exp"), json!(now - 40), "has expired"),
        (json!("nbf"), json!(now + 40), "isn't valid yet"),
        (json!("aud"), json!("orders"), "another audience"),
        (
            json!("trackops_role"),
            json!("root"),
            "no role that is known",
        ),
    ];
    for (name, value, reason) in cases {
        let token = bearer(&key, &api, |claims| {
            claims[name.as_str().expect("a name")] = value;
        });
        let refused = get(&api, &token, &path).await;
        refused.problem(401, "unauthorized", &path);
        let challenge = refused.header("www-authenticate").expect("a challenge");
        assert!(challenge.contains("invalid_token"), "{challenge}");
        assert!(challenge.contains(reason), "{challenge}");
        assert!(!refused.text.contains(&token[7..]), "the token is shown");
    }
}

#[tokio::test]
async fn an_issuer_that_is_away_is_unavailable_and_not_a_refusal() {
    let key = SigningKey::p256("k");
    let issuer = FakeIssuer::of(&[&key]);
    issuer.set_away(true);
    let api = Api::with_issuer(issuer).await;
    let path = format!("/api/v1/orders/{}", Uuid::from_u128(1));
    let refused = get(&api, &bearer(&key, &api, |_| {}), &path).await;
    refused.problem(503, "unavailable", &path);
    // A second, and up to twice that, so that not all come back together.
    let wait = refused.header("retry-after").expect("it will pass");
    assert!(["1", "2"].contains(&wait), "{wait}");
}

#[tokio::test]
async fn what_operations_do_by_token_is_kept_with_the_issuer() {
    let key = SigningKey::p256("k");
    let api = Api::with_issuer(FakeIssuer::of(&[&key])).await;
    let ann = bearer(&key, &api, |claims| {
        claims["trackops_role"] = json!("operator");
    });
    let path = format!("/admin/v1/actors/{}/release", Uuid::from_u128(1));
    let headers = [("authorization", &*ann)];
    api.send("POST", &path, &headers, Body::empty()).await;
    let kept = until("an entry", || async {
        let audit = get(&api, &ann, "/admin/v1/audit").await.json();
        let who = audit["items"][0]["who"].as_str()?.to_owned();
        Some(who)
    });
    let who = kept.await;
    assert_eq!(who, "operator:ann (https://id.example/realms/shop)");
}
