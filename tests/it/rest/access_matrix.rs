//! Who may do what: every role at every operation of the document, with an order of its own and with another's.
//! A new operation without a row here is red.

use axum::body::Body;
use serde_json::{Value, json};
use trackops_domain::access::Role;
use trackops_domain::command::Command;
use trackops_domain::ids::{CourierId, CustomerId, OrderId, ShopId};
use uuid::Uuid;

use super::every_route::Operation;
use super::support::{Api, pizza};

const CUSTOMER: &str = "7f6c0c9e-6f0e-4a53-9d3f-2b1d6a2c9a10";

/// The callers: nobody, then each scoped role with its own and with another's order, then the others.
const CALLERS: [&str; 10] = [
    "nobody",
    "customer",
    "customer*",
    "kitchen",
    "kitchen*",
    "courier",
    "courier*",
    "service",
    "operator",
    "viewer",
];

/// For each operation what each of [`CALLERS`] gets: `.` what it asks for, `-` 401, `x` 403, `0` 404. A courier
/// carries the order, but where it is to be cancelled or prepared.
const ROWS: &[(&str, &str)] = &[
    ("GET /admin/v1/actors/{orderId}", "-xxxxxxx.."),
    ("POST /admin/v1/actors/{orderId}/release", "-xxxxxxx.x"),
    ("GET /admin/v1/audit", "-xxxxxxx.."),
    ("GET /admin/v1/cluster", "-xxxxxxx.."),
    ("POST /admin/v1/cluster/nodes/{node}/drain", "-xxxxxxx.x"),
    ("GET /admin/v1/dead-letters", "-xxxxxxx.."),
    (
        "GET /admin/v1/dead-letters/{topic}/{partition}/{offset}",
        "-xxxxxxx..",
    ),
    (
        "POST /admin/v1/dead-letters/{topic}/{partition}/{offset}/send",
        "-xxxxxxx.x",
    ),
    ("GET /admin/v1/keys", "-xxxxxxx.."),
    ("POST /admin/v1/keys", "-xxxxxxx.x"),
    ("POST /admin/v1/keys/{id}/revoke", "-xxxxxxx.x"),
    ("GET /admin/v1/outbox", "-xxxxxxx.."),
    ("GET /admin/v1/sagas", "-xxxxxxx.."),
    ("GET /admin/v1/shards", "-xxxxxxx.."),
    ("GET /admin/v1/shards/{n}", "-xxxxxxx.."),
    ("GET /api/v1/inventory/items", "-xx..xx..."),
    ("GET /api/v1/inventory/items/{sku}", "-xx..xx..."),
    ("PUT /api/v1/inventory/items/{sku}", "-xxxxxx..x"),
    (
        "GET /api/v1/inventory/items/{sku}/adjustments",
        "-xx..xx...",
    ),
    (
        "POST /api/v1/inventory/items/{sku}/adjustments",
        "-xxxxxx..x",
    ),
    ("GET /api/v1/inventory/reservations/{orderId}", "-000000..."),
    ("GET /api/v1/asyncapi.json", ".........."),
    ("GET /api/v1/openapi.json", ".........."),
    ("GET /api/v1/orders", "-........."),
    ("POST /api/v1/orders", "-..xxxx..x"),
    ("GET /api/v1/orders/{id}", "-.0.0.0..."),
    ("POST /api/v1/orders/{id}/cancel", "-.0.0xx..x"),
    ("GET /api/v1/orders/{id}/events", "-.0.0.0..."),
    ("GET /api/v1/orders/{id}/history", "-.0.0.0..."),
    ("GET /api/v1/orders/{id}/tracking-link", "-.0.0.0..."),
    ("PUT /api/v1/orders/{id}/location", "-xxxx.0..x"),
    ("PUT /api/v1/orders/{id}/status", "-x0.000..x"),
    ("GET /api/v1/track", "-........."),
    ("GET /api/v1/tracking/{token}", ".........."),
    ("GET /api/v1/tracking/{token}/events", ".........."),
    ("GET /livez", ".........."),
    ("GET /metrics", ".........."),
    ("GET /problems", ".........."),
    ("GET /problems/{code}", ".........."),
    ("GET /readyz", ".........."),
    ("GET /startupz", ".........."),
];

/// A confirmed order of the scoped callers' customer and shop, or of others'.
async fn confirmed(api: &Api, key: &str, is_own: bool) -> String {
    let mut body = pizza();
    body["shopId"] = json!(if is_own { "north" } else { "east" });
    if !is_own {
        body["customerId"] = json!(Uuid::from_u128(7));
    }
    let headers = [("authorization", key)];
    let placed = api.json_with("POST", "/api/v1/orders", &headers, &body);
    let placed = placed.await;
    assert_eq!(placed.status, 201, "{}", placed.text);
    let id = placed.json()["id"].as_str().expect("an id").to_owned();
    api.saga(&id, Command::StockReserved).await;
    id
}

/// The same, which the scoped callers' courier carries, or another.
async fn carried(api: &Api, key: &str, is_own: bool) -> String {
    let id = confirmed(api, key, is_own).await;
    let courier = if is_own { "c-1" } else { "c-2" };
    for status in ["PREPARING", "IN_TRANSIT"] {
        let step = json!({"status": status, "courierId": courier});
        let path = format!("/api/v1/orders/{id}/status");
        let headers = [("authorization", key)];
        let stepped = api.json_with("PUT", &path, &headers, &step).await;
        assert_eq!(stepped.status, 200, "{}", stepped.text);
    }
    id
}

fn body(operation: &str) -> Value {
    match operation {
        "POST /api/v1/orders" => pizza(),
        "PUT /api/v1/orders/{id}/status" => json!({"status": "PREPARING"}),
        "PUT /api/v1/orders/{id}/location" => json!({"lat": 52.0, "lon": 13.0}),
        "PUT /api/v1/inventory/items/{sku}" => json!({"onHand": 100}),
        "POST /api/v1/inventory/items/{sku}/adjustments" => json!({"delta": 1, "reason": "x"}),
        "POST /admin/v1/keys" => json!({"name": "x", "role": "viewer"}),
        _ => json!({}),
    }
}

fn path(template: &str, order: &str) -> String {
    let mut path = template.to_owned();
    for (name, value) in [
        ("{id}", order),
        ("{orderId}", order),
        ("{sku}", "PIZZA"),
        ("{node}", "nothing"),
        ("{code}", "unauthorized"),
        ("{topic}", "ORDER_CREATED"),
        ("{partition}", "0"),
        ("{offset}", "0"),
        ("{n}", "0"),
    ] {
        path = path.replace(name, value);
    }
    path
}

#[tokio::test]
async fn every_role_gets_what_its_row_says() {
    let api = Api::with_keys().await;
    api.stock("PIZZA", 1_000).await;
    let shops = [ShopId::parse("north").expect("a shop")];
    let customer = CustomerId(CUSTOMER.parse().expect("a UUID"));
    let courier = CourierId::parse("c-1").expect("a courier");
    let service = api.key("service", Role::Service).await;
    let keys = [
        ("customer", api.key("ann", Role::Customer(customer)).await),
        (
            "kitchen",
            api.key("till", Role::Kitchen(shops.into())).await,
        ),
        ("courier", api.key("bike", Role::Courier(courier)).await),
        ("service", service.clone()),
        ("operator", api.key("ops", Role::Operator).await),
        ("viewer", api.key("looker", Role::Viewer).await),
    ];
    let mut seen = Vec::new();
    for operation in Operation::all(&api).await {
        let name = format!("{} {}", operation.method, operation.path);
        let mut row = String::new();
        for caller in CALLERS {
            let is_own = !caller.ends_with('*');
            let key = keys
                .iter()
                .find(|(role, _)| *role == caller.trim_end_matches('*'))
                .map(|(_, key)| key.as_str());
            row.push(cell(&api, &operation, &name, &service, key, is_own).await);
        }
        seen.push((name, row));
    }
    let expected: Vec<_> = ROWS
        .iter()
        .map(|(name, row)| ((*name).to_owned(), (*row).to_owned()))
        .collect();
    let wrong: Vec<_> = seen.iter().filter(|row| !expected.contains(row)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(seen.len(), expected.len(), "a row of nothing");
}

async fn cell(
    api: &Api,
    operation: &Operation,
    name: &str,
    service: &str,
    key: Option<&str>,
    is_own: bool,
) -> char {
    let order = match operation.path.rsplit('/').next() {
        _ if !operation.path.contains("/orders/{") && !operation.path.contains("{orderId}") => {
            String::new()
        }
        Some("cancel" | "status") => confirmed(api, service, is_own).await,
        _ => carried(api, service, is_own).await,
    };
    if operation.path.contains("reservations") {
        let order = OrderId(order.parse().expect("a UUID"));
        api.reserve(order, "PIZZA", 1).await;
    }
    let path = path(&operation.path, &order);
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(key.map(|key| ("authorization", key)));
    let body: Body = match &*operation.method {
        "GET" => Body::empty(),
        _ => body(name).to_string().into(),
    };
    let status = api.status(&operation.method, &path, &headers, body).await;
    let is_orders = path.contains("/orders/") || path.contains("/reservations/");
    match status.as_u16() {
        401 => '-',
        403 => 'x',
        404 if is_orders => '0',
        _ => '.',
    }
}
