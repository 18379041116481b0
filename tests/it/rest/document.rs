//! The OpenAPI document and the pages beside it.

use std::collections::BTreeSet;

use axum::body::Body;
use serde_json::Value;
use trackops::api::problem_code::Code;

use super::support::{Api, still};

/// Paths that serve pages, not the interface.
const PAGES: [&str; 3] = ["/", "/docs", "/docs/"];

#[tokio::test]
async fn the_document_is_as_reviewed() {
    let document = Api::new().await.get("/api/v1/openapi.json").await.json();
    assert!(
        document["openapi"]
            .as_str()
            .is_some_and(|version| version.starts_with("3.1"))
    );
    insta::assert_json_snapshot!("openapi", still(document, &["/info/version"]));
}

/// Every path of the document is routed with exactly the methods that the document has, and `router.rs` routes
/// nothing but pages past the document.
#[tokio::test]
async fn every_route_is_in_the_document() {
    let api = Api::new().await;
    let document = api.get("/api/v1/openapi.json").await.json();
    let documented = document["paths"].as_object().expect("paths");
    let source = include_str!("../../../src/api/router.rs");
    for path in source.split('"').skip(1).step_by(2) {
        let is_page = !path.starts_with('/') || PAGES.contains(&path);
        assert!(is_page, "{path} is not in the document");
    }
    for (path, operations) in documented {
        let mut methods: BTreeSet<String> = operations
            .as_object()
            .expect("operations")
            .keys()
            .map(|method| method.to_uppercase())
            .collect();
        if methods.contains("GET") {
            methods.insert("HEAD".into());
        }
        let answer = api.send("TRACE", path, &[], Body::empty()).await;
        answer.problem(405, "method-not-allowed", path);
        let allowed = answer
            .header("allow")
            .expect("Allow")
            .split(',')
            .map(str::to_owned);
        assert_eq!(allowed.collect::<BTreeSet<_>>(), methods, "{path}");
    }
}

#[tokio::test]
async fn every_reference_in_the_document_leads_somewhere() {
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("$ref").and_then(Value::as_str));
                map.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let document = Api::new().await.get("/api/v1/openapi.json").await.json();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(!found.is_empty());
    for reference in found {
        let pointer = reference.strip_prefix('#').expect("a local reference");
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

#[tokio::test]
async fn the_pages_for_people_are_there() {
    let api = Api::new().await;
    let front = api.get("/").await;
    assert_eq!(
        (front.status.as_u16(), front.header("location")),
        (307, Some("/docs/"))
    );
    let page = api.get("/docs/").await;
    assert_eq!(page.status, 200);
    assert!(page.text.contains("swagger-ui"), "{}", page.text);
    let script = api.get("/docs/swagger-initializer.js").await;
    assert!(
        script.text.contains("/api/v1/openapi.json"),
        "{}",
        script.text
    );
    let mut codes = BTreeSet::new();
    for code in Code::ALL {
        let facts = code.facts();
        assert!(codes.insert(facts.code), "{} stands twice", facts.code);
        let page = api.get(&format!("/problems/{}", facts.code)).await;
        assert_eq!(page.status, 200);
        assert!(page.text.contains(facts.advice), "{}", page.text);
    }
}
