//! Compares a body that couldn't be read with its schema in the OpenAPI document. Every field that is missing
//! or of the wrong type is named at once, in the document's words. Leaves rules for values to the checks of
//! each form.

use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::codec::content::FieldError;
use crate::codec::whole;

/// The most faults that are named: a body of 256 KiB may have ten thousand.
pub const ERRORS_MAX: usize = 50;

/// The result of comparing a body with its schema.
pub struct Compared {
    /// The fields that are missing or of the wrong type.
    pub errors: Vec<FieldError>,
    /// The body with a value of the right type in each of these fields, so that the rest can be checked.
    pub rest: Value,
}

/// Compares `text`, which is JSON, with the schema of `T`.
pub fn compare<T: ToSchema>(text: &str) -> Compared {
    let mut parts = Vec::new();
    T::schemas(&mut parts);
    let parts = parts.into_iter().map(|(name, part)| (name, written(&part)));
    let mut comparison = Comparison {
        parts: parts.collect(),
        errors: Vec::new(),
    };
    let whole = written(&T::schema());
    let rest = match serde_json::from_str::<&RawValue>(text) {
        Ok(given) => comparison.value(&whole, given, ""),
        Err(_) => comparison.refuse(&whole, "", "must be JSON"),
    };
    Compared {
        errors: comparison.errors,
        rest,
    }
}

/// Whether `pointer` names the value that `outer` names, or a part of it.
pub fn is_within(pointer: &str, outer: &str) -> bool {
    let rest = pointer.strip_prefix(outer);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn written(schema: &impl serde::Serialize) -> Value {
    // A schema is plain data: writing it has no way to fail.
    serde_json::to_value(schema).unwrap_or_default()
}

struct Comparison {
    /// The schemas that others refer to, by name.
    parts: HashMap<String, Value>,
    errors: Vec<FieldError>,
}

impl Comparison {
    /// `given`, or a value of the right type instead of it.
    fn value(&mut self, schema: &Value, given: &RawValue, at: &str) -> Value {
        let schema = self.resolve(schema);
        let kinds = kinds(&schema);
        let text = given.get();
        let expected = kinds.iter().find(|kind| **kind != "null").copied();
        match (text.as_bytes().first(), expected) {
            (Some(b'n'), _) if kinds.contains(&"null") => Value::Null,
            (Some(b'{'), Some("object")) => self.object(&schema, text, at),
            (Some(b'['), Some("array")) => self.array(&schema, text, at),
            (Some(b'"'), Some("string")) => self.string(&schema, text, at),
            (Some(b'-' | b'0'..=b'9'), Some("integer" | "number")) => {
                self.number(&schema, text, at)
            }
            (Some(b't' | b'f'), Some("boolean")) => Value::Bool(text == "true"),
            // A schema that admits anything.
            (_, None) => serde_json::from_str(text).unwrap_or_default(),
            _ => self.refuse(&schema, at, &must_be(&schema)),
        }
    }

    fn object(&mut self, schema: &Value, text: &str, at: &str) -> Value {
        let Ok(Pairs(pairs)) = serde_json::from_str::<Pairs<'_>>(text) else {
            return self.refuse(schema, at, "has a name that is not Unicode text");
        };
        let mut object = Map::new();
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            let at = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
            let mut given = pairs.iter().filter(|(known, _)| known == name);
            let value = match (given.next(), given.next()) {
                (Some((_, value)), None) => self.value(field, value, &at),
                (Some(_), Some(_)) => self.refuse(field, &at, "must be given once"),
                (None, _) if requires(schema, name) => self.refuse(field, &at, "is missing"),
                (None, _) => continue,
            };
            object.insert(name.clone(), value);
        }
        object.into()
    }

    fn array(&mut self, schema: &Value, text: &str, at: &str) -> Value {
        // Any array is one of raw values.
        let values: Vec<&RawValue> = serde_json::from_str(text).unwrap_or_default();
        let values = values.into_iter().enumerate().map(|(index, value)| {
            if self.errors.len() >= ERRORS_MAX {
                return Value::Null;
            }
            self.value(&schema["items"], value, &format!("{at}/{index}"))
        });
        values.collect()
    }

    fn string(&mut self, schema: &Value, text: &str, at: &str) -> Value {
        let Ok(text) = serde_json::from_str::<String>(text) else {
            return self.refuse(schema, at, "must be Unicode text");
        };
        if schema["format"] == "uuid" && Uuid::try_parse(&text).is_err() {
            return self.refuse(schema, at, &must_be(schema));
        }
        text.into()
    }

    fn number(&mut self, schema: &Value, text: &str, at: &str) -> Value {
        let number = if kinds(schema).contains(&"integer") {
            whole::of_text(text).map(Value::from)
        } else {
            serde_json::from_str(text).ok()
        };
        number.unwrap_or_else(|| self.refuse(schema, at, &must_be(schema)))
    }

    /// Notes the field as wrong, and returns a value of its type.
    fn refuse(&mut self, schema: &Value, at: &str, detail: &str) -> Value {
        if self.errors.len() < ERRORS_MAX {
            self.errors.push(FieldError {
                pointer: at.into(),
                detail: detail.into(),
            });
        }
        self.any(schema)
    }

    /// Any value of this type.
    fn any(&self, schema: &Value) -> Value {
        let schema = self.resolve(schema);
        let kinds = kinds(&schema);
        match kinds.into_iter().find(|kind| *kind != "null") {
            Some("string") if schema["format"] == "uuid" => Uuid::nil().to_string().into(),
            Some("string") => "".into(),
            Some("integer" | "number") => 0.into(),
            Some("boolean") => false.into(),
            Some("array") => Value::Array(Vec::new()),
            Some("object") => {
                let fields = schema["properties"].as_object().into_iter().flatten();
                let fields = fields.filter(|(name, _)| requires(&schema, name));
                let fields = fields.map(|(name, field)| (name.clone(), self.any(field)));
                Value::Object(fields.collect())
            }
            _ => Value::Null,
        }
    }

    /// The schema that a reference names, and of what may be null the schema of the rest; any other schema
    /// unchanged.
    fn resolve(&self, schema: &Value) -> Value {
        if let Some(choice) = schema["oneOf"].as_array() {
            let rest = choice.iter().find(|one| one["type"] != "null");
            let mut rest = rest.map_or(Value::Null, |rest| self.resolve(rest));
            rest["type"] = json!([rest["type"], "null"]);
            return rest;
        }
        let name = schema["$ref"]
            .as_str()
            .and_then(|path| path.rsplit('/').next());
        let part = name.and_then(|name| self.parts.get(name));
        part.unwrap_or(schema).clone()
    }
}

fn kinds(schema: &Value) -> Vec<&str> {
    match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn requires(schema: &Value, name: &str) -> bool {
    let required = schema["required"].as_array();
    required.is_some_and(|names| names.iter().any(|required| required == name))
}

/// A sentence that says, in the document's words, what the value must be.
fn must_be(schema: &Value) -> String {
    let range = match (&schema["minimum"], &schema["maximum"]) {
        (Value::Number(min), Value::Number(max)) => format!(" from {min} to {max}"),
        (Value::Number(min), _) => format!(" of at least {min}"),
        _ => String::new(),
    };
    let is_uuid = schema["format"] == "uuid";
    match kinds(schema).into_iter().find(|kind| *kind != "null") {
        Some("string") if is_uuid => {
            "must be a UUID, such as 0190a5c2-7b1e-7cc3-98c4-dc0c0c07398f".into()
        }
        Some("string") => "must be a string".into(),
        Some("integer") => format!("must be a whole number{range}"),
        Some("number") => format!("must be a number{range}"),
        Some("boolean") => "must be true or false".into(),
        Some("array") => "must be an array".into(),
        _ => "must be an object".into(),
    }
}

/// The fields of an object in their order, repeated ones included.
struct Pairs<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OfMap)
    }
}

struct OfMap;

impl<'de> Visitor<'de> for OfMap {
    type Value = Pairs<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(Pairs(pairs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::content::ContentV1;

    fn named(text: &str) -> Vec<(String, String)> {
        let errors = compare::<ContentV1>(text).errors.into_iter();
        errors.map(|error| (error.pointer, error.detail)).collect()
    }

    #[test]
    fn every_field_that_is_missing_or_wrong_is_named() {
        let text = r#"{
            "customerId": "me",
            "currency": 978,
            "items": [{"sku": "A", "quantity": 1.5, "unitPrice": "9"}, 7],
            "address": {"street": null, "city": "\ud800", "country": "DE", "country": "FR", "lat": "x"},
            "deliveryInstructions": null
        }"#;
        let expected = [
            ("/address/city", "must be Unicode text"),
            ("/address/country", "must be given once"),
            ("/address/lat", "must be a number from -90 to 90"),
            ("/address/postalCode", "is missing"),
            ("/address/street", "must be a string"),
            ("/currency", "must be a string"),
            (
                "/customerId",
                "must be a UUID, such as 0190a5c2-7b1e-7cc3-98c4-dc0c0c07398f",
            ),
            (
                "/items/0/quantity",
                "must be a whole number from 1 to 10000",
            ),
            (
                "/items/0/unitPrice",
                "must be a whole number from 0 to 1000000000",
            ),
            ("/items/1", "must be an object"),
        ];
        let expected = expected.map(|(pointer, detail)| (pointer.to_owned(), detail.to_owned()));
        assert_eq!(named(text), expected);
    }

    #[test]
    fn what_stands_in_for_a_fault_can_be_read() {
        for text in ["{}", "[]", "3", r#"{"items":[{}],"address":{"lat":[]}}"#] {
            let compared = compare::<ContentV1>(text);
            assert!(!compared.errors.is_empty(), "{text}");
            serde_json::from_value::<ContentV1>(compared.rest).expect(text);
        }
        let many = format!(r#"{{"items":[{}7]}}"#, "7,".repeat(100_000));
        assert_eq!(named(&many).len(), ERRORS_MAX);
    }

    #[test]
    fn a_pointer_covers_what_is_in_it() {
        assert!(is_within("/items/0/sku", "/items"));
        assert!(is_within("/items", "/items"));
        assert!(is_within("/items", ""));
        assert!(!is_within("/items2", "/items"));
        assert!(!is_within("/items", "/items/0"));
    }
}
