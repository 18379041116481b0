//! The documents of parts of the routes, as a listener has them.

use serde_json::Value;

use super::*;

fn of(routes: utoipa::openapi::OpenApi) -> (Vec<String>, Value) {
    let document = openapi::rendered(routes, false);
    let paths = document["paths"].as_object().expect("paths");
    (paths.keys().cloned().collect(), document)
}

/// What a listener doesn't serve its document doesn't have.
#[test]
fn a_document_has_what_its_listener_serves() {
    let (paths, document) = of(order_routes().into_openapi());
    assert!(paths.iter().all(|path| path.starts_with("/api/v1/orders")));
    assert!(document["components"]["schemas"]["Shard"].is_null());
    assert_eq!(document["tags"].as_array().map(Vec::len), Some(1));
    let (paths, document) = of(actor_routes().into_openapi());
    assert!(
        paths
            .iter()
            .all(|path| path.starts_with("/admin/v1/actors"))
    );
    let schemas = &document["components"]["schemas"];
    assert!(schemas["Actor"].is_object() && schemas["OrderDraft"].is_null());
}

#[test]
fn a_credential_is_optional_where_nobody_needs_one() {
    let security = |is_open| {
        let document = openapi::rendered(order_routes().into_openapi(), is_open);
        document["paths"]["/api/v1/orders"]["get"]["security"].clone()
    };
    assert_eq!(security(false), serde_json::json!([{"bearer": []}]));
    assert_eq!(security(true), serde_json::json!([{}, {"bearer": []}]));
}
