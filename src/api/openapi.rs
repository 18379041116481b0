//! The OpenAPI 3.1 document of a listener. Each handler describes itself, [`super::router`] puts the routes of a
//! listener together, and this adds what all have in common. The error answers are in [`super::error_answers`].

use std::collections::BTreeSet;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi as OpenApiDocument;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::server::Server;
use utoipa::{Modify, OpenApi, PartialSchema as _, ToSchema as _};

use super::error_answers::refusals;
use super::fixed_document::FixedDocument;
use super::message_schemas::{Schemas, reference};
use super::problem::{Problem, ProblemBody};
use super::schemas::ProblemCode;
use super::{guard, headers, parameters};
use crate::codec::schema::{OrderStatus, TopicName};

/// Where the document is served.
pub const PATH: &str = "/api/v1/openapi.json";

/// What the document says beside the routes.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "TrackOps",
        description = "Order tracking: place orders, drive them, watch them live.\n\n\
            This document has what this listener serves. Every error is a `Problem`; programs decide by its \
            `code`. A method that a path doesn't have is a 405 with `Allow`. A request whose head HTTP forbids is \
            a 400, one that comes too slowly a 408, and one with a method or transfer coding that nobody knows a \
            501. Unknown fields and query keys are ignored, and so is a query key without a value.\n\n\
            `/api/v1/asyncapi.json` describes the WebSocket, the event streams and the topics.",
        contact(name = "The TrackOps developers"),
    ),
    components(schemas(ProblemBody)),
    modifiers(&Common),
    tags(
        (name = "orders", description = "Role `order`: place, drive and read orders"),
        (name = "live", description = "Role `order`: watch orders"),
        (name = "inventory", description = "Role `inventory`: stock and reservations"),
        (name = "operations", description = "Every role, on the management listener"),
        (name = "documents", description = "What this is"),
    )
)]
struct Document;

/// Where it is served, and how callers say who they are.
struct Common;

impl Modify for Common {
    fn modify(&self, document: &mut OpenApiDocument) {
        let mut server = Server::new("/");
        server.description = Some("The listener that serves this document".into());
        document.servers = Some(vec![server]);
        let mut scheme = Http::new(HttpAuthScheme::Bearer);
        scheme.description = Some(
            "An API key, `tk_<id>_<secret>`, or an access token of an OIDC issuer that `oidc_issuers` names. Where \
             `auth` is `open` nobody needs one, and every caller is `anonymous` with the role `service`."
                .into(),
        );
        let components = document.components.get_or_insert_default();
        components.add_security_scheme(guard::SCHEME, SecurityScheme::Http(scheme));
    }
}

refusals!(Refusals = UNCONDITIONAL, CONDITIONS);

/// This document.
#[utoipa::path(
    get, path = "/api/v1/openapi.json", tag = "documents", operation_id = "getOpenApi",
    params(parameters::IfNoneMatch),
    responses(
        (status = 200, description = "OpenAPI 3.1", content_type = "application/json",
            body = serde_json::Value, headers(("ETag"), ("Cache-Control"))),
        (status = 304, description = "The client has this document", headers(("ETag"), ("Cache-Control"))),
        Refusals)
)]
pub async fn get_openapi(
    State(document): State<FixedDocument>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    document.answer(&headers)
}

/// The document of a listener with these `routes`, as JSON.
///
/// `is_open`: nobody needs a credential.
pub fn rendered(routes: OpenApiDocument, is_open: bool) -> Value {
    let mut document = Document::openapi().merge_from(routes);
    let components = document.components.get_or_insert_default();
    // Parameters refer to these, which isn't seen where schemas are gathered.
    for (name, schema) in [
        (OrderStatus::name(), OrderStatus::schema()),
        (ProblemCode::name(), ProblemCode::schema()),
        (TopicName::name(), TopicName::schema()),
    ] {
        components.schemas.insert(name.into_owned(), schema);
    }
    // A document without maps of odd keys always has a JSON form.
    let mut document = serde_json::to_value(document).unwrap_or_default();
    add_messages(&mut document);
    finish_headers(&mut document);
    finish_schemas(&mut document["components"]["schemas"]);
    if is_open {
        make_credentials_optional(&mut document);
    }
    drop_unused(&mut document);
    document
}

/// The forms of headers, and which of them are always there. The types of the document don't have `required`.
fn finish_headers(document: &mut Value) {
    for operation in operations(document) {
        let responses = operation["responses"].as_object_mut();
        for (status, response) in responses.into_iter().flatten() {
            let Some(found) = response.get_mut("headers").and_then(Value::as_object_mut) else {
                continue;
            };
            for (name, header) in found {
                *header = serde_json::to_value(headers::described(name)).unwrap_or_default();
                // An item that isn't there has no tag.
                let may_lack = name == "ETag" && status == "412";
                if headers::ALWAYS.contains(&&**name) && !may_lack {
                    header["required"] = true.into();
                }
            }
        }
    }
}

/// The schemas of the live messages, and which route has which.
fn add_messages(document: &mut Value) {
    let mut schemas = Schemas::default();
    schemas.add_live();
    for (name, schema) in schemas.into_map() {
        let known = &mut document["components"]["schemas"][name];
        if known.is_null() {
            *known = schema;
        }
    }
    for operation in operations(document) {
        let (key, messages) = match operation["operationId"].as_str() {
            Some("openTrackSocket") => (
                "x-messages",
                json!({"client": reference("ClientMessage"), "server": reference("SocketMessage")}),
            ),
            Some("streamOrderEvents") => ("x-event-data", reference("OrderEvent")),
            Some("streamTrackingEvents") => ("x-event-data", reference("TrackingEvent")),
            _ => continue,
        };
        operation[key] = messages;
    }
}

/// What the types of the document can't say.
fn finish_schemas(schemas: &mut Value) {
    let mut add = |name: &str, key: &str, rule: Value| {
        if let Some(schema) = schemas.get_mut(name) {
            schema[key] = rule;
        }
    };
    add("StockDelta", "not", json!({"const": 0}));
    add(
        "Address",
        "dependentRequired",
        json!({"lat": ["lon"], "lon": ["lat"]}),
    );
}

/// Where `auth` is `open` a credential may be left out.
fn make_credentials_optional(document: &mut Value) {
    for operation in operations(document) {
        if let Some(security) = operation["security"].as_array_mut()
            && !security.is_empty()
        {
            security.insert(0, json!({}));
        }
    }
}

fn operations(document: &mut Value) -> impl Iterator<Item = &mut Value> {
    let paths = document["paths"].as_object_mut();
    let items = paths.into_iter().flat_map(Map::values_mut);
    items
        .filter_map(Value::as_object_mut)
        .flat_map(Map::values_mut)
}

/// Drops the schemas and tags that no route of the listener has.
fn drop_unused(document: &mut Value) {
    loop {
        let mut used = BTreeSet::new();
        references(document, &mut used);
        let Some(schemas) = document["components"]["schemas"].as_object_mut() else {
            return;
        };
        let before = schemas.len();
        schemas.retain(|name, _| used.contains(name));
        if schemas.len() == before {
            break;
        }
    }
    let written = document["paths"].to_string();
    if let Some(tags) = document["tags"].as_array_mut() {
        tags.retain(|tag| written.contains(&format!("\"tags\":[{}]", tag["name"])));
    }
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            let reference = map.get("$ref").and_then(Value::as_str);
            let name = reference.and_then(|path| path.rsplit('/').next());
            found.extend(name.map(str::to_owned));
            map.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}
