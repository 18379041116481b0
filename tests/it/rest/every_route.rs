//! What holds for every operation of the OpenAPI document: a new route is tested here without being named.

use std::collections::BTreeMap;

use axum::body::Body;
use serde::Deserialize;
use serde_json::{Value, json};

use super::support::Api;

const JSON: (&str, &str) = ("content-type", "application/json");

/// No order has this id.
const NO_ORDER: &str = "0190a5c2-7b1e-7cc3-98c4-dc0c0c07398f";

/// Where the paths of reads begin whose answers have no address, no name and no message in them. A cache may
/// keep those, and ask each time whether they still hold.
const OF_NO_PERSON: [&str; 13] = [
    "/admin/v1/actors/",
    "/admin/v1/cluster",
    "/admin/v1/outbox",
    "/admin/v1/sagas",
    "/admin/v1/shards",
    "/api/v1/asyncapi.json",
    "/api/v1/inventory/",
    "/api/v1/openapi.json",
    "/livez",
    "/metrics",
    "/problems",
    "/readyz",
    "/startupz",
];

/// An operation, with what the document says of it.
pub(super) struct Operation {
    pub(super) method: String,
    pub(super) path: String,
    described: Described,
}

#[derive(Deserialize)]
struct Described {
    tags: Vec<String>,
    #[serde(default)]
    parameters: Vec<Parameter>,
}

#[derive(Deserialize)]
struct Parameter {
    /// `path`, `query` or `header`.
    #[serde(rename = "in")]
    place: String,
    name: String,
    schema: Value,
}

impl Operation {
    pub(super) async fn all(api: &Api) -> Vec<Self> {
        let mut document = api.get("/api/v1/openapi.json").await.json();
        let paths: BTreeMap<String, BTreeMap<String, Described>> =
            serde_json::from_value(document["paths"].take()).expect("operations by path");
        let all = paths.into_iter().flat_map(|(path, operations)| {
            operations.into_iter().map(move |(method, described)| Self {
                method: method.to_uppercase(),
                path: path.clone(),
                described,
            })
        });
        all.collect()
    }

    fn parameters(&self, place: &str) -> impl Iterator<Item = &Parameter> {
        let all = self.described.parameters.iter();
        all.filter(move |parameter| parameter.place == place)
    }

    /// Its path, with a `value` for the name of each parameter in it.
    fn at<'a>(&self, value: impl Fn(&str) -> &'a str) -> String {
        let mut path = self.path.clone();
        for parameter in self.parameters("path") {
            let name = &parameter.name;
            path = path.replace(&format!("{{{name}}}"), value(name));
        }
        path
    }
}

/// A value for each parameter of a path; nothing is there.
fn absent(name: &str) -> &'static str {
    match name {
        "id" | "orderId" => NO_ORDER,
        "sku" | "node" | "code" => "nothing",
        "topic" => "ORDER_CREATED",
        "partition" | "offset" => "0",
        "n" => "99",
        "token" => "AWsxAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        _ => panic!("no path had the parameter {name} before: give it a value here"),
    }
}

/// The `instance` of a problem: the path, without the token of a tracking link.
fn instance(path: &str) -> &str {
    if path.starts_with("/api/v1/tracking/") {
        "/api/v1/tracking"
    } else {
        path
    }
}

/// A client that waits for `100 Continue` isn't asked for a body that its headers make useless.
#[tokio::test]
async fn a_bad_key_is_refused_before_the_body_is_read() {
    let api = Api::new().await;
    let long = "k".repeat(256);
    for operation in Operation::all(&api).await {
        let (method, path) = (&*operation.method, operation.at(absent));
        if method == "GET" {
            continue;
        }
        for key in ["", "a b", "schlüssel", &long] {
            let headers = [JSON, ("idempotency-key", key)];
            let refused = api.send(method, &path, &headers, "no JSON").await;
            refused.problem(400, "invalid-idempotency-key", &path);
        }
    }
}

/// What isn't evaluated is refused: a client that sends it means to prevent something. Reads of operations
/// prevent nothing.
#[tokio::test]
async fn a_condition_that_is_not_evaluated_is_refused() {
    let api = Api::new().await;
    let order = api.place().await;
    for operation in Operation::all(&api).await {
        let method = &*operation.method;
        let path = operation.at(|name| match name {
            "id" | "orderId" => &*order,
            other => absent(other),
        });
        let starts = ["/api/v1/orders", "/api/v1/inventory", "/api/v1/tracking"];
        if method == "GET" && !starts.iter().any(|start| path.starts_with(start)) {
            continue;
        }
        for (condition, value) in [
            ("if-match", "*"),
            ("if-match", "\"9\""),
            ("if-none-match", "*"),
            ("if-none-match", "\"9\""),
        ] {
            let mut headers = operation.parameters("header");
            if headers.any(|header| header.name.eq_ignore_ascii_case(condition)) {
                continue;
            }
            // Enough for a cancellation, a release and a drain.
            let refused = api
                .send(method, &path, &[JSON, (condition, value)], "{}")
                .await;
            let problem = refused.problem(400, "condition-not-supported", instance(&path));
            let detail = problem["detail"].as_str().expect("a detail");
            assert!(detail.starts_with(condition), "{method} {path}: {detail}");
        }
    }
    let order = api.get(&format!("/api/v1/orders/{order}")).await.json();
    assert_eq!(order["version"], 1, "nothing was done");
    assert!(api.cluster.drained.lock().is_empty(), "nothing was done");
}

#[tokio::test]
async fn what_shows_an_order_is_kept_by_no_cache() {
    let api = Api::new().await;
    let order = api.place().await;
    let link = format!("/api/v1/orders/{order}/tracking-link");
    let link = api.get(&link).await.json();
    let link = link["trackingUrl"].as_str().expect("a link");
    let (_, token) = link.rsplit_once('/').expect("a path");
    for operation in Operation::all(&api).await {
        let path = operation.at(|name| match name {
            "id" | "orderId" => &*order,
            "token" => token,
            "topic" => "FULFILLMENT_UPDATES",
            "offset" => "4",
            other => absent(other),
        });
        // A stream doesn't end; `nothing_on_the_way_may_keep_a_stream_back` looks at its headers.
        let is_live = operation.described.tags.iter().any(|tag| tag == "live");
        let is_of_nobody = OF_NO_PERSON.iter().any(|start| path.starts_with(start));
        if operation.method != "GET" || is_live || is_of_nobody {
            continue;
        }
        let shown = api.get(&path).await;
        assert_eq!(shown.status, 200, "{path}: {}", shown.text);
        let kept = shown.header("cache-control");
        assert_eq!(kept, Some("private, no-store"), "{path}");
    }
}

#[tokio::test]
async fn a_path_to_nothing_is_a_404() {
    let api = Api::new().await;
    for operation in Operation::all(&api).await {
        if operation.method != "GET" || operation.parameters("path").next().is_none() {
            continue;
        }
        let path = operation.at(absent);
        let answer = api.get(&path).await;
        let shown = answer.json();
        let code = shown["code"].as_str().expect("a code");
        assert!(code.ends_with("not-found"), "{path}: {shown}");
        answer.problem(404, code, instance(&path));
    }
}

#[tokio::test]
async fn a_parameter_of_a_path_that_means_nothing_is_a_400() {
    let api = Api::new().await;
    for operation in Operation::all(&api).await {
        for parameter in operation.parameters("path") {
            let schema = &parameter.schema;
            let is_named = schema["$ref"].is_string();
            let is_any_text = is_named || schema["type"] == "string" && schema["format"].is_null();
            // Not UTF-8, or neither a UUID nor a number.
            let bad = if is_any_text { "%ff" } else { "x" };
            let is_bad = |name: &str| name == parameter.name;
            let path = operation.at(|name| if is_bad(name) { bad } else { absent(name) });
            let refused = api.json(&operation.method, &path, &json!({})).await;
            // Whatever a token is, the answer is the same.
            let status = if parameter.name == "token" { 404 } else { 400 };
            assert_eq!(refused.status, status, "{path}: {}", refused.text);
        }
    }
}

#[tokio::test]
async fn a_parameter_of_a_query_that_means_nothing_is_a_400() {
    let api = Api::new().await;
    for operation in Operation::all(&api).await {
        let path = operation.at(absent);
        for Parameter { name, schema, .. } in operation.parameters("query") {
            let mut bad = Vec::new();
            if schema["type"] != "array" {
                bad.push(format!("{name}=1&{name}=1"));
            }
            if schema["type"] == "integer" {
                bad.extend(["-1", "x", "4294967296"].map(|value| format!("{name}={value}")));
            }
            let least = schema["minimum"].as_i64().map(|least| least - 1);
            let most = schema["maximum"].as_i64().map(|most| most + 1);
            for beyond in [least, most].into_iter().flatten() {
                bad.push(format!("{name}={beyond}"));
            }
            if schema["format"] == "uuid" || name == "cursor" {
                bad.push(format!("{name}=x"));
            }
            for query in bad {
                let whole = format!("{path}?{query}");
                let refused = api
                    .send(&operation.method, &whole, &[], Body::empty())
                    .await;
                let code = match &*query {
                    "cursor=x" => "invalid-cursor",
                    _ => "invalid-parameter",
                };
                let problem = refused.problem(400, code, instance(&path));
                let detail = problem["detail"].as_str().expect("a detail");
                assert!(detail.contains(name.as_str()), "{whole}: {detail}");
            }
        }
    }
}
