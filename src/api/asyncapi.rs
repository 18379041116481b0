//! The `AsyncAPI` 3 document: the topics of the bus, the WebSocket and the event streams. The forms of the messages
//! come from the types that write and read them; this says which of them goes where.

use std::sync::LazyLock;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::error_answers::refusals;
use super::fixed_document::FixedDocument;
use super::message_schemas::Schemas;
use super::parameters;
use super::problem::Problem;
use crate::codec::messages::{
    self, FulfillmentUpdateV1, InventoryReplyV1, OrderEndedV1, StatusUpdatedV1,
};
use crate::codec::view::OrderView;
use crate::model::topic::{DEAD_LETTER_SUFFIX, Topic};

/// The document, rendered once.
pub static DOCUMENT: LazyLock<FixedDocument> = LazyLock::new(|| {
    // Plain JSON: writing it to memory has no way to fail.
    let json = serde_json::to_string_pretty(&document()).unwrap_or_default();
    FixedDocument::new("application/json", json)
});

refusals!(Refusals = UNCONDITIONAL, CONDITIONS);

/// The messages of the topics, the WebSocket and the event streams.
#[utoipa::path(
    get, path = "/api/v1/asyncapi.json", tag = "documents", operation_id = "getAsyncApi",
    params(parameters::IfNoneMatch),
    responses(
        (status = 200, description = "AsyncAPI 3.0", content_type = "application/json",
            body = serde_json::Value, headers(("ETag"), ("Cache-Control"))),
        (status = 304, description = "The client has this document", headers(("ETag"), ("Cache-Control"))),
        Refusals)
)]
pub async fn get_asyncapi(
    State(document): State<FixedDocument>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    document.answer(&headers)
}

/// Who publishes a topic, what about, and with which body.
fn topic(topic: Topic, schemas: &mut Schemas) -> (&'static str, &'static str, Value) {
    match topic {
        Topic::OrderCreated => (
            "order",
            "The whole order as placed",
            schemas.add::<OrderView>(),
        ),
        Topic::OrderStatusUpdated => (
            "order",
            "Every later version of an order",
            schemas.add::<StatusUpdatedV1>(),
        ),
        Topic::OrderCancelled => (
            "order",
            "An order was cancelled; inventory gives back what it holds",
            schemas.add::<OrderEndedV1>(),
        ),
        Topic::OrderDelivered => (
            "order",
            "An order was delivered; what inventory holds has left",
            schemas.add::<OrderEndedV1>(),
        ),
        Topic::InventoryReserved => (
            "inventory",
            "Everything is held",
            schemas.add::<InventoryReplyV1>(),
        ),
        Topic::InventoryReservationFailed => (
            "inventory",
            "Something is not in stock, and nothing is held",
            schemas.add::<InventoryReplyV1>(),
        ),
        Topic::InventoryReleased => (
            "inventory",
            "What was held is free again",
            schemas.add::<InventoryReplyV1>(),
        ),
        Topic::FulfillmentUpdates => (
            "",
            "A kitchen, warehouse or courier has taken a step. Attributes of CloudEvents may be missing",
            schemas.add::<FulfillmentUpdateV1>(),
        ),
    }
}

/// The whole document.
pub fn document() -> Value {
    let mut parts = Parts::default();
    for one in Topic::ALL {
        parts.add_topic(one);
    }
    let live = parts.schemas.add_live();
    parts.add_live_channel(
        "track",
        "/api/v1/track",
        "One socket follows many orders. A browser names its credential as a subprotocol: it asks for `trackops.v1` \
         and `trackops.bearer.<the credential in base64url>`, and the server takes the first. Closed with 4401 when \
         the credential has ended, with 1012 when the server stops",
        &live.socket,
        &live.client,
    );
    parts.add_live_channel(
        "orderEvents",
        "/api/v1/orders/{id}/events",
        "One order as server-sent events. `Last-Event-ID` or `since` is the version that the client has",
        &live.stream,
        &[],
    );
    parts.add_live_channel(
        "trackingEvents",
        "/api/v1/tracking/{token}/events",
        "The order of a tracking link as server-sent events. The link is the credential",
        &live.tracking,
        &[],
    );
    let mut schemas = parts.schemas.into_map();
    for schema in schemas.values_mut() {
        // In OpenAPI it is an object with a mapping.
        if let Some(name) = schema["discriminator"]["propertyName"]
            .as_str()
            .map(str::to_owned)
        {
            schema["discriminator"] = name.into();
        }
    }
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "TrackOps",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What TrackOps publishes and pushes. Topics have the order's id as their key, and a prefix where \
                one is configured. Messages may come more than once, with the same `ce_id`; those of one order come \
                in the order of their versions. Unknown fields are to be ignored. The REST interface is in \
                `/api/v1/openapi.json`.",
            "license": {"name": env!("CARGO_PKG_LICENSE")},
        },
        "defaultContentType": "application/json",
        "servers": {
            "bus": {"host": "{brokers}", "protocol": "kafka", "description": "The brokers of `kafka_brokers`",
                "variables": {"brokers": {"default": "localhost:9092"}}},
            "api": {"host": "{listen}", "protocol": "http", "description": "The public listener of the role `order`",
                "variables": {"listen": {"default": "localhost:8080"}},
                "security": [{"$ref": "#/components/securitySchemes/bearer"}]},
        },
        "channels": parts.channels,
        "operations": parts.operations,
        "components": {
            "schemas": schemas,
            "messages": parts.messages,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer",
                "description": "An API key, or an access token of an OIDC issuer. None is needed where `auth` is `open`"}},
        },
    })
}

#[derive(Default)]
struct Parts {
    schemas: Schemas,
    messages: Map<String, Value>,
    channels: Map<String, Value>,
    operations: Map<String, Value>,
}

impl Parts {
    fn add_topic(&mut self, one: Topic) {
        let name = one.as_str();
        let (publisher, about, payload) = topic(one, &mut self.schemas);
        self.messages.insert(
            name.into(),
            json!({
                "name": name,
                "summary": about,
                "headers": headers(one, publisher),
                "payload": payload,
                "bindings": {"kafka": {"key": {"type": "string", "format": "uuid", "description": "The order's id"}}},
            }),
        );
        self.channels.insert(
            name.into(),
            json!({
                "address": name,
                "description": format!("{about}. What a consumer can't handle goes to `{name}{DEAD_LETTER_SUFFIX}`."),
                "servers": [{"$ref": "#/servers/bus"}],
                "messages": {name: {"$ref": format!("#/components/messages/{name}")}},
            }),
        );
        let is_ours = !publisher.is_empty();
        let (action, verb) = if is_ours {
            ("send", "publish")
        } else {
            ("receive", "consume")
        };
        self.add_operation(&format!("{verb}.{name}"), action, name, &[name]);
    }

    /// `server` and `client`: the types of what each sends, with their schemas.
    fn add_live_channel(
        &mut self,
        name: &str,
        address: &str,
        about: &str,
        server: &[(String, String)],
        client: &[(String, String)],
    ) {
        let mut messages = Map::new();
        for (kind, schema) in server.iter().chain(client) {
            self.messages.entry(schema.clone()).or_insert_with(|| {
                json!({"name": kind, "payload": {"$ref": format!("#/components/schemas/{schema}")}})
            });
            let reference = json!({"$ref": format!("#/components/messages/{schema}")});
            messages.insert(schema.clone(), reference);
        }
        let mut parameters = Map::new();
        for part in address.split('{').skip(1) {
            let (parameter, _) = part.split_once('}').unwrap_or_default();
            let description = match parameter {
                "id" => "The order",
                _ => "What stands after `/track/` in the link",
            };
            parameters.insert(parameter.into(), json!({"description": description}));
        }
        let mut channel = json!({
            "address": address,
            "description": about,
            "servers": [{"$ref": "#/servers/api"}],
            "messages": messages,
        });
        if client.is_empty() {
            channel["parameters"] = parameters.into();
        } else {
            channel["bindings"] = json!({"ws": {"method": "GET"}});
        }
        self.channels.insert(name.into(), channel);
        let names = |all: &[(String, String)]| {
            all.iter()
                .map(|(_, schema)| schema.clone())
                .collect::<Vec<_>>()
        };
        let told = names(server);
        self.add_operation(
            &format!("push.{name}"),
            "send",
            name,
            &told.iter().map(String::as_str).collect::<Vec<_>>(),
        );
        if !client.is_empty() {
            let asked = names(client);
            self.add_operation(
                &format!("take.{name}"),
                "receive",
                name,
                &asked.iter().map(String::as_str).collect::<Vec<_>>(),
            );
        }
    }

    fn add_operation(&mut self, name: &str, action: &str, channel: &str, messages: &[&str]) {
        let messages: Vec<Value> = messages
            .iter()
            .map(|message| json!({"$ref": format!("#/channels/{channel}/messages/{message}")}))
            .collect();
        self.operations.insert(
            name.into(),
            json!({
                "action": action,
                "channel": {"$ref": format!("#/channels/{channel}")},
                "messages": messages,
            }),
        );
    }
}

/// The headers of a message of `topic` (`CloudEvents`, binary mode).
fn headers(topic: Topic, publisher: &str) -> Value {
    let text = |text: &str| json!({"type": "string", "enum": [text]});
    let uuid = json!({"type": "string", "format": "uuid"});
    let mut properties = Map::new();
    for name in messages::HEADERS {
        let form = match name {
            "ce_id" | "ce_subject" => uuid.clone(),
            "ce_source" if !publisher.is_empty() => text(&messages::source(publisher)),
            "ce_specversion" => text("1.0"),
            "ce_type" => text(topic.as_str()),
            "ce_time" => json!({"type": "string", "format": "date-time"}),
            "ce_dataschema" => text(&messages::data_schema(topic)),
            "ce_orderversion" => json!({"type": "string", "pattern": "^[1-9][0-9]*$"}),
            "content-type" => text("application/json"),
            _ => json!({"type": "string"}),
        };
        properties.insert(name.into(), form);
    }
    let mut headers = json!({"type": "object", "properties": properties});
    if !publisher.is_empty() {
        let always = messages::HEADERS
            .iter()
            .filter(|name| **name != "traceparent");
        headers["required"] = always.copied().collect();
    }
    headers
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_topic_and_live_route_is_a_channel() {
        let document = document();
        let channels = document["channels"].as_object().expect("channels");
        for topic in Topic::ALL {
            assert_eq!(channels[topic.as_str()]["address"], topic.as_str());
        }
        assert_eq!(channels.len(), Topic::ALL.len() + 3);
        let types: BTreeSet<&str> = ["track", "orderEvents", "trackingEvents"]
            .iter()
            .flat_map(|name| {
                channels[*name]["messages"]
                    .as_object()
                    .expect("messages")
                    .keys()
            })
            .map(|name| {
                document["components"]["messages"][name]["name"]
                    .as_str()
                    .expect("a name")
            })
            .collect();
        let all = [
            "authenticate",
            "error",
            "location",
            "problem",
            "snapshot",
            "subscribe",
            "unsubscribe",
            "update",
        ];
        assert_eq!(types, BTreeSet::from(all));
    }
}
