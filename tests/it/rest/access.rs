//! Keys, and what their holders see and do.

use std::time::Duration;

use axum::body::Body;
use serde_json::{Value, json};
use trackops_domain::access::Role;
use trackops_domain::command::Command;
use trackops_domain::ids::{CustomerId, ShopId};
use uuid::Uuid;

use super::support::{Answer, Api, pizza};
use crate::support::wait::until;

const ANN: u128 = 0xa;
const BOB: u128 = 0xb;

async fn get(api: &Api, key: &str, path: &str) -> Answer {
    api.send("GET", path, &[("authorization", key)], Body::empty())
        .await
}

async fn customer(api: &Api, name: &str, id: u128) -> String {
    let id = CustomerId(Uuid::from_u128(id));
    api.key(name, Role::Customer(id)).await
}

fn order_of(customer: Option<u128>) -> Value {
    let mut body = pizza();
    match customer {
        Some(id) => body["customerId"] = json!(Uuid::from_u128(id)),
        None => drop(body.as_object_mut().expect("fields").remove("customerId")),
    }
    body
}

async fn place(api: &Api, key: &str, body: &Value) -> Answer {
    let headers = [("authorization", key)];
    api.json_with("POST", "/api/v1/orders", &headers, body)
        .await
}

fn id(answer: &Answer) -> String {
    assert_eq!(answer.status, 201, "{}", answer.text);
    answer.json()["id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn without_a_valid_key_nothing_is_told() {
    let api = Api::with_keys().await;
    let key = api.key("till", Role::Service).await;
    let (head, secret) = key.rsplit_once('_').expect("three parts");
    let flipped: String = secret
        .chars()
        .map(|c| if c == 'A' { 'B' } else { 'A' })
        .collect();
    let forged = format!("{head}_{flipped}");
    let path = format!("/api/v1/orders/{}", Uuid::from_u128(1));
    let missing = api.get(&path).await;
    missing.problem(401, "unauthorized", &path);
    assert_eq!(
        missing.header("www-authenticate"),
        Some("Bearer realm=\"trackops\"")
    );
    let long = format!("Bearer {}", "a".repeat(9_000));
    for (credential, error) in [
        ("Basic dTpw", "invalid_request"),
        ("Bearer", "invalid_request"),
        ("Bearer a b", "invalid_request"),
        (&long, "invalid_request"),
        ("Bearer tk_x", "invalid_token"),
        ("Bearer eyJhbGciOiJub25lIn0.e30.", "invalid_token"),
        (&forged, "invalid_token"),
    ] {
        let refused = get(&api, credential, &path).await;
        refused.problem(401, "unauthorized", &path);
        let challenge = refused.header("www-authenticate").expect("a challenge");
        assert!(challenge.contains(error), "{credential}: {challenge}");
    }
    // With the key, the order isn't there.
    get(&api, &key, &path)
        .await
        .problem(404, "order-not-found", &path);
    // What isn't a route needs no key, and neither do probes and documents.
    assert_eq!(api.get("/nothing").await.status, 404);
    assert_eq!(api.get("/livez").await.status, 200);
}

#[tokio::test]
async fn a_customer_places_for_itself() {
    let api = Api::with_keys().await;
    let ann = customer(&api, "ann", ANN).await;
    let placed = place(&api, &ann, &order_of(None)).await;
    assert_eq!(
        placed.json()["customerId"],
        json!(Uuid::from_u128(ANN)),
        "{}",
        placed.text
    );
    let path = format!("/api/v1/orders/{}/history", id(&placed));
    let history = get(&api, &ann, &path).await;
    assert_eq!(history.json()["items"][0]["by"], "customer:ann");
    let foreign = place(&api, &ann, &order_of(Some(BOB))).await;
    foreign.problem(403, "forbidden", "/api/v1/orders");
    // Whoever isn't a customer says whose the order is.
    let service = api.key("shop", Role::Service).await;
    let nobodys = place(&api, &service, &order_of(None)).await;
    let problem = nobodys.problem(422, "validation-failed", "/api/v1/orders");
    assert_eq!(problem["errors"][0]["pointer"], "/customerId");
}

#[tokio::test]
async fn each_sees_its_own_orders_in_lists() {
    let api = Api::with_keys().await;
    let ann = customer(&api, "ann", ANN).await;
    let bob = customer(&api, "bob", BOB).await;
    let service = api.key("shop", Role::Service).await;
    let mut of_north = order_of(Some(BOB));
    of_north["shopId"] = json!("north");
    let (anns, bobs) = (
        id(&place(&api, &ann, &order_of(None)).await),
        id(&place(&api, &service, &of_north).await),
    );
    let north = ShopId::parse("north").expect("a shop");
    let kitchen = api.key("till", Role::Kitchen([north].into())).await;
    let cases = [
        (&ann, "", vec![&anns]),
        (&bob, "", vec![&bobs]),
        (
            &ann,
            "?customerId=00000000-0000-0000-0000-00000000000b",
            vec![],
        ),
        (&ann, "?shopId=north", vec![]),
        (&kitchen, "", vec![&bobs]),
        (&kitchen, "?shopId=north&shopId=east", vec![&bobs]),
        (&kitchen, "?shopId=east", vec![]),
        (&service, "", vec![&bobs, &anns]),
    ];
    for (key, query, expected) in cases {
        let page = get(&api, key, &format!("/api/v1/orders{query}"))
            .await
            .json();
        let items = page["items"].as_array().expect("items");
        let seen: Vec<_> = items.iter().map(|order| &order["id"]).collect();
        assert_eq!(seen, expected, "{query}");
    }
}

#[tokio::test]
async fn the_same_key_of_two_callers_is_two_orders() {
    let api = Api::with_keys().await;
    let ann = customer(&api, "ann", ANN).await;
    let bob = customer(&api, "bob", BOB).await;
    let place = async |key: &str| {
        let headers = [("authorization", key), ("idempotency-key", "mine")];
        let body = order_of(None);
        let placed = api.json_with("POST", "/api/v1/orders", &headers, &body);
        let placed = placed.await;
        let is_repeat = placed.header("idempotency-replayed").is_some();
        (id(&placed), is_repeat)
    };
    let (anns, bobs) = (place(&ann).await, place(&bob).await);
    assert_ne!(anns.0, bobs.0);
    assert_eq!(place(&ann).await, (anns.0, true));
    assert_eq!(place(&bob).await, (bobs.0, true));
}

#[tokio::test]
async fn a_step_that_the_role_may_not_take_says_what_it_may() {
    let api = Api::with_keys().await;
    let ann = customer(&api, "ann", ANN).await;
    let service = api.key("shop", Role::Service).await;
    let order = id(&place(&api, &ann, &order_of(None)).await);
    api.saga(&order, Command::StockReserved).await;
    let step = async |key: &str, status: &str| {
        let path = format!("/api/v1/orders/{order}/status");
        let body = json!({"status": status});
        let headers = [("authorization", key)];
        let answer = api.json_with("PUT", &path, &headers, &body).await;
        (answer, path)
    };
    let (refused, path) = step(&ann, "PREPARING").await;
    let problem = refused.problem(403, "forbidden", &path);
    assert_eq!(problem["currentStatus"], "CONFIRMED");
    assert_eq!(problem["allowed"], json!(["CANCELLED"]));
    // Never a customer's step, whatever the status: the same refusal.
    let (refused, path) = step(&ann, "DELIVERED").await;
    refused.problem(403, "forbidden", &path);
    let (stepped, _) = step(&service, "PREPARING").await;
    assert_eq!(stepped.status, 200, "{}", stepped.text);
    let (refused, path) = step(&ann, "CANCELLED").await;
    let problem = refused.problem(403, "forbidden", &path);
    assert_eq!(problem["allowed"], json!([]));
    // What the status doesn't allow lists what this caller may do.
    let (refused, path) = step(&service, "DELIVERED").await;
    let problem = refused.problem(409, "illegal-step", &path);
    assert_eq!(problem["allowed"], json!(["IN_TRANSIT", "CANCELLED"]));
}

#[tokio::test]
async fn keys_are_made_listed_and_revoked_and_all_is_kept() {
    let api = Api::with_keys().await;
    let operator = api.key("ops", Role::Operator).await;
    let viewer = api.key("looker", Role::Viewer).await;
    let auth = [("authorization", operator.as_str())];
    let body = json!({"name": "till", "role": "kitchen", "shops": ["north"]});
    let made = api.json_with("POST", "/admin/v1/keys", &auth, &body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(made.header("cache-control"), Some("private, no-store"));
    let made = made.json();
    assert_eq!(made["createdBy"], "operator:ops");
    let till = format!("Bearer {}", made["key"].as_str().expect("the key"));
    assert_eq!(get(&api, &till, "/api/v1/orders").await.status, 200);
    let listed = get(&api, &viewer, "/admin/v1/keys").await;
    assert_eq!(listed.json()["items"].as_array().map(Vec::len), Some(3));
    let secret = made["key"].as_str().and_then(|key| key.rsplit('_').next());
    assert!(!listed.text.contains(secret.expect("a secret")));

    let id = made["id"].as_str().expect("an id");
    let path = format!("/admin/v1/keys/{id}/revoke");
    let revoked = api.json_with("POST", &path, &auth, &json!({})).await;
    assert_eq!(revoked.status, 200, "{}", revoked.text);
    let told = until("the key is refused", || async {
        let answer = get(&api, &till, "/api/v1/orders").await;
        (answer.status == 401).then_some(answer)
    })
    .await;
    assert!(
        told.header("www-authenticate")
            .is_some_and(|challenge| challenge.contains("the key was revoked"))
    );
    get(&api, &viewer, "/admin/v1/keys").await;
    let path = "/admin/v1/keys/0000000000000000/revoke";
    let unknown = api.json_with("POST", path, &auth, &json!({})).await;
    unknown.problem(404, "key-not-found", path);

    let rows = until("all is kept", || async {
        let page = get(&api, &viewer, "/admin/v1/audit").await.json();
        let rows = page["items"].as_array().expect("items").clone();
        (rows.len() >= 4).then_some(rows)
    })
    .await;
    let seen: Vec<String> = rows
        .iter()
        .map(|row| {
            let text = |name: &str| row[name].as_str().expect("a text").to_owned();
            format!("{} {} {}", text("who"), text("action"), text("outcome"))
        })
        .collect();
    let made_row = rows
        .iter()
        .find(|row| row["target"] == format!("/admin/v1/keys {id}"));
    assert!(made_row.is_some(), "{rows:?}");
    for expected in [
        "operator:ops POST done",
        "operator:ops POST failed: 404",
        "nobody any denied: credential",
    ] {
        assert!(seen.iter().any(|row| row == expected), "{seen:?}");
    }
}

#[tokio::test]
async fn what_a_key_says_is_checked() {
    let api = Api::with_keys().await;
    let operator = api.key("ops", Role::Operator).await;
    let auth = [("authorization", operator.as_str())];
    for (body, pointer) in [
        (json!({"name": "", "role": "viewer"}), "/name"),
        (json!({"name": "a b", "role": "viewer"}), "/name"),
        (json!({"name": "a", "role": "chef"}), "/role"),
        (json!({"name": "a", "role": "kitchen"}), "/shops"),
        (
            json!({"name": "a", "role": "viewer", "shops": ["x"]}),
            "/shops",
        ),
        (json!({"name": "a", "role": "customer"}), "/customerId"),
        (json!({"name": "a", "role": "courier"}), "/courierId"),
        (
            json!({"name": "a", "role": "viewer", "expiresAt": "2020-01-01T00:00:00Z"}),
            "/expiresAt",
        ),
    ] {
        let refused = api.json_with("POST", "/admin/v1/keys", &auth, &body).await;
        let problem = refused.problem(422, "validation-failed", "/admin/v1/keys");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
}

#[tokio::test]
async fn a_key_ends_when_its_time_is_over() {
    let api = Api::with_keys().await;
    let operator = api.key("ops", Role::Operator).await;
    let at = trackops::ports::clock::Clock::now(&*api.clock).plus(Duration::from_mins(5));
    let body =
        json!({"name": "a", "role": "viewer", "expiresAt": trackops::codec::rfc3339::format(at)});
    let auth = [("authorization", operator.as_str())];
    let made = api.json_with("POST", "/admin/v1/keys", &auth, &body).await;
    let key = format!("Bearer {}", made.json()["key"].as_str().expect("the key"));
    assert_eq!(get(&api, &key, "/api/v1/orders").await.status, 200);
    api.clock.put_forward(Duration::from_mins(5));
    let ended = get(&api, &key, "/api/v1/orders").await;
    let challenge = ended.header("www-authenticate").expect("a challenge");
    assert!(challenge.contains("the key has expired"), "{challenge}");
}
