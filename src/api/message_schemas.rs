//! The schemas of messages, taken from the types that write and read them, for the OpenAPI and the `AsyncAPI`
//! document. A type of several messages becomes one schema each, told apart by `type`.

use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::track::messages::{ClientForm, RefusalMessage};
use crate::codec::live::ServerMessage;
use crate::codec::tracking::TrackingMessage;

/// Schemas by name.
#[derive(Default)]
pub struct Schemas(Map<String, Value>);

/// The messages of the live routes: each one's `type`, and the name of its schema.
pub struct Live {
    /// What the server sends on a socket.
    pub socket: Vec<(String, String)>,
    /// What the client sends on a socket.
    pub client: Vec<(String, String)>,
    /// What the server sends on the stream of an order.
    pub stream: Vec<(String, String)>,
    /// What the server sends on the stream of a tracking link.
    pub tracking: Vec<(String, String)>,
}

impl Schemas {
    /// Adds `T` and all that it refers to; a reference to it.
    pub fn add<T: ToSchema>(&mut self) -> Value {
        self.parts::<T>();
        let name = T::name().into_owned();
        self.0.insert(name.clone(), written(&T::schema()));
        reference(&name)
    }

    /// Adds the messages of all live routes, and what each side of each route may send as a choice of them.
    pub fn add_live(&mut self) -> Live {
        let order = self.variants::<ServerMessage<'_>>("");
        let refusals = self.variants::<RefusalMessage<'_>>("");
        let (error, problem) = refusals.split_at(1);
        let linked = self.variants::<TrackingMessage<'_>>("Tracking");
        let live = Live {
            socket: [&order, error].concat(),
            client: self.variants::<ClientForm>(""),
            stream: [&order, problem].concat(),
            tracking: [&linked, problem].concat(),
        };
        self.choice(
            "SocketMessage",
            "What the server sends on the WebSocket.",
            &live.socket,
        );
        self.choice(
            "ClientMessage",
            "What a client sends on the WebSocket.",
            &live.client,
        );
        self.choice(
            "OrderEvent",
            "The data of an event of an order's stream.",
            &live.stream,
        );
        self.choice(
            "TrackingEvent",
            "The data of an event of a tracking link's stream.",
            &live.tracking,
        );
        live
    }

    /// The schemas by name.
    pub fn into_map(self) -> Map<String, Value> {
        self.0
    }

    fn parts<T: ToSchema>(&mut self) {
        let mut parts = Vec::new();
        T::schemas(&mut parts);
        for (name, part) in parts {
            self.0.insert(name, written(&part));
        }
    }

    /// Adds each message of an enum that is told apart by `type`.
    fn variants<T: ToSchema>(&mut self, prefix: &str) -> Vec<(String, String)> {
        self.parts::<T>();
        let Value::Array(all) = written(&T::schema())["oneOf"].take() else {
            return Vec::new();
        };
        let mut names = Vec::new();
        for one in all {
            let kind = kind_of(&one);
            let capital: String = kind.chars().take(1).flat_map(char::to_uppercase).collect();
            let name = format!(
                "{prefix}{capital}{}Message",
                kind.get(1..).unwrap_or_default()
            );
            self.0.insert(name.clone(), one);
            names.push((kind, name));
        }
        names
    }

    fn choice(&mut self, name: &str, description: &str, all: &[(String, String)]) {
        let references: Vec<Value> = all.iter().map(|(_, schema)| reference(schema)).collect();
        let mapping: Map<String, Value> = all
            .iter()
            .map(|(kind, schema)| (kind.clone(), reference(schema)["$ref"].clone()))
            .collect();
        let choice = json!({
            "description": description,
            "oneOf": references,
            "discriminator": {"propertyName": "type", "mapping": mapping},
        });
        self.0.insert(name.into(), choice);
    }
}

/// A reference to the schema `name`.
pub fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// The `type` of a message with this schema.
fn kind_of(schema: &Value) -> String {
    let kind = &schema["properties"]["type"]["enum"][0];
    kind.as_str().unwrap_or_default().to_owned()
}

fn written(schema: &impl serde::Serialize) -> Value {
    // A schema is plain data: writing it has no way to fail.
    serde_json::to_value(schema).unwrap_or_default()
}
