//! The live messages that don't show an order: a client's requests on a socket, and refusals. A socket names
//! a refusal `error`, a stream `problem`.

use bytes::Bytes;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use trackops_domain::ids::{OrderId, Version};
use utoipa::ToSchema;

use crate::api::problem::{Problem, ProblemBody};
use crate::api::{json, params};
use crate::codec::content::FieldError;
use crate::codec::whole;

/// A client's request for an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Follow it from `since` on.
    Subscribe {
        /// The version that the client has.
        since: Option<Version>,
    },
    /// Stop following it.
    Unsubscribe,
}

/// A client's message.
#[derive(Clone, Debug)]
pub enum ClientMessage {
    /// About an order.
    Order(OrderId, Wanted),
    /// Goes on with this credential.
    Authenticate(SecretString),
}

#[cfg(test)]
impl ClientMessage {
    /// What it wants of which order.
    pub fn about(self) -> Option<(OrderId, Wanted)> {
        match self {
            Self::Order(order, wanted) => Some((order, wanted)),
            Self::Authenticate(_) => None,
        }
    }
}

/// A message as sent. Unknown fields are ignored.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ClientBody {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    order_id: Option<String>,
    #[serde(default)]
    token: Option<String>,
    #[serde(default, deserialize_with = "whole::optional")]
    #[schema(minimum = 0, maximum = 4_294_967_295_u32)]
    since: Option<i64>,
}

/// Reads a client's message.
pub fn parse(text: &str) -> Result<ClientMessage, Problem> {
    json::parse(text, ClientBody::check)
}

impl ClientBody {
    fn check(self) -> Result<ClientMessage, Vec<FieldError>> {
        if self.kind == "authenticate" {
            return self.credential();
        }
        let mut errors = Vec::new();
        let mut refuse = |pointer: &str, detail: String| {
            let pointer = pointer.into();
            errors.push(FieldError { pointer, detail });
        };
        let order = self.order_id.as_deref().map(params::uuid);
        match order {
            None => refuse("/orderId", "is missing".into()),
            Some(None) => refuse("/orderId", "must be a UUID".into()),
            Some(Some(_)) => {}
        }
        let since = self.since.map(u32::try_from).transpose();
        if since.is_err() {
            refuse("/since", format!("must be 0 to {}", u32::MAX));
        }
        let wanted = match &*self.kind {
            "subscribe" => Some(Wanted::Subscribe {
                since: since.ok().flatten().map(Version),
            }),
            "unsubscribe" => Some(Wanted::Unsubscribe),
            _ => {
                refuse(
                    "/type",
                    "must be subscribe, unsubscribe or authenticate".into(),
                );
                None
            }
        };
        match (order.flatten(), wanted) {
            (Some(order), Some(wanted)) if errors.is_empty() => {
                Ok(ClientMessage::Order(OrderId(order), wanted))
            }
            _ => Err(errors),
        }
    }

    fn credential(self) -> Result<ClientMessage, Vec<FieldError>> {
        let token = self.token.filter(|token| !token.is_empty());
        let token = token.ok_or_else(|| FieldError {
            pointer: "/token".into(),
            detail: "is missing".into(),
        });
        token
            .map(|token| ClientMessage::Authenticate(token.into()))
            .map_err(|error| vec![error])
    }
}

/// What a client may send, for the documents. [`ClientBody`] reads it, so that every field that is wrong is named.
#[derive(Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum ClientForm {
    /// Follow an order. The answer is a `snapshot`, or with `since` the versions after it.
    Subscribe {
        /// The order.
        #[serde(rename = "orderId")]
        order_id: uuid::Uuid,
        /// The version that the client has; 0 for all of them.
        since: Option<u32>,
    },
    /// Stop following an order.
    Unsubscribe {
        /// The order.
        #[serde(rename = "orderId")]
        order_id: uuid::Uuid,
    },
    /// Go on with another credential of the same caller.
    Authenticate {
        /// The credential.
        #[schema(min_length = 1)]
        token: String,
    },
}

/// A refusal, as a socket and as a stream name it.
#[derive(Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum RefusalMessage<'a> {
    /// A message of the client was refused, or an order can't be followed; the socket stays open.
    Error {
        /// The order, if it is about one.
        #[serde(rename = "orderId")]
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        order_id: Option<uuid::Uuid>,
        /// Why.
        #[schema(value_type = ProblemBody)]
        problem: &'a ProblemBody,
    },
    /// The order can't be followed just now; the stream ends, and `retry` says when to come back.
    Problem {
        /// The order, unless it is followed by a tracking link.
        #[serde(rename = "orderId")]
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        order_id: Option<uuid::Uuid>,
        /// Why.
        #[schema(value_type = ProblemBody)]
        problem: &'a ProblemBody,
    },
}

/// The `error` message of a socket for `problem`.
pub fn error_message(problem: &Problem, order: Option<OrderId>) -> Bytes {
    written(&RefusalMessage::Error {
        order_id: order.map(|id| id.0),
        problem: problem.body(),
    })
}

/// The `problem` message of a stream. It isn't called `error` because browsers have an event of that name.
pub fn problem_message(problem: &Problem, order: Option<OrderId>) -> Bytes {
    written(&RefusalMessage::Problem {
        order_id: order.map(|id| id.0),
        problem: problem.body(),
    })
}

fn written(message: &RefusalMessage<'_>) -> Bytes {
    // Plain strings and numbers: writing them to memory has no way to fail.
    serde_json::to_vec(message).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::api::problem_code::Code;

    proptest! {
        #[test]
        fn whatever_comes_is_answered(text in any::<String>(), shaped in "[\\[\\]{}\":,a-z0-9.-]{0,80}") {
            let _ = (parse(&text), parse(&shaped));
        }
    }

    #[test]
    fn what_the_documents_have_is_read() {
        let order_id = uuid::Uuid::from_u128(7);
        let follow = |since| ClientForm::Subscribe { order_id, since };
        let subscribe = |since: Option<u32>| Wanted::Subscribe {
            since: since.map(Version),
        };
        let read = |form: &ClientForm| parse(&serde_json::to_string(form).expect("JSON"));
        for since in [None, Some(0), Some(u32::MAX)] {
            let about = read(&follow(since)).expect("is right").about();
            assert_eq!(about, Some((OrderId(order_id), subscribe(since))));
        }
        let unsubscribe = ClientForm::Unsubscribe { order_id };
        let about = read(&unsubscribe).expect("is right").about();
        assert_eq!(about, Some((OrderId(order_id), Wanted::Unsubscribe)));
        let token = "tk_a".into();
        let renewed = read(&ClientForm::Authenticate { token }).expect("is right");
        assert!(matches!(renewed, ClientMessage::Authenticate(_)));
    }

    #[test]
    fn only_objects_are_messages_and_every_fault_is_named() {
        let id = uuid::Uuid::from_u128(7);
        for text in [
            format!(r#"["subscribe", {{"orderId": "{id}"}}]"#),
            format!(r#"["subscribe", "{id}", 1]"#),
            "7".into(),
        ] {
            assert_eq!(code_of(&text), Code::ValidationFailed, "{text}");
        }
        let wrong = parse(r#"{"type":"dance","since":1.5}"#).expect_err("refused");
        let named: Vec<_> = wrong
            .body()
            .errors
            .iter()
            .map(|e| (&*e.pointer, &*e.detail))
            .collect();
        let expected = [
            ("/since", "must be a whole number from 0 to 4294967295"),
            ("/orderId", "is missing"),
            ("/type", "must be subscribe, unsubscribe or authenticate"),
        ];
        assert_eq!(named, expected);
        let whole = format!(r#"{{"type":"subscribe","orderId":"{id}","since":12.0}}"#);
        let since = Some(Version(12));
        assert_eq!(
            parse(&whole).expect("is right").about(),
            Some((OrderId(id), Wanted::Subscribe { since }))
        );
    }

    fn code_of(text: &str) -> Code {
        parse(text).expect_err("is refused").code()
    }

    #[test]
    fn an_error_keeps_its_form() {
        let id = OrderId(uuid::Uuid::from_u128(7));
        let text = |json: Bytes| String::from_utf8(json.to_vec()).expect("UTF-8");
        let unknown = Problem::new(Code::OrderNotFound, "there is no order of this id");
        let unknown = unknown.at("/api/v1/track");
        insta::assert_snapshot!("error_of_an_order", text(error_message(&unknown, Some(id))));
        let unreadable = parse(r#"{"type":"unsubscribe","orderId":"x"}"#).expect_err("refused");
        let unreadable = unreadable.at("/api/v1/track");
        insta::assert_snapshot!("error_of_a_field", text(error_message(&unreadable, None)));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let id = uuid::Uuid::from_u128(7);
        let subscribe = format!(r#"{{"type":"subscribe","orderId":"{id}","since":12}}"#);
        let since = Some(Version(12));
        assert_eq!(
            parse(&subscribe).expect("is right").about(),
            Some((OrderId(id), Wanted::Subscribe { since }))
        );
        assert_eq!(code_of("{"), Code::MalformedJson);
        assert_eq!(code_of(""), Code::MalformedJson);
        assert_eq!(code_of("[]"), Code::ValidationFailed);
        assert_eq!(code_of(r#"{"type":"dance"}"#), Code::ValidationFailed);
        assert_eq!(code_of(r#"{"type":"subscribe"}"#), Code::ValidationFailed);
        let negative = subscribe.replace("12", "-1");
        assert_eq!(code_of(&negative), Code::ValidationFailed);
        assert_eq!(
            code_of(r#"{"type":"unsubscribe","orderId":"x"}"#),
            Code::ValidationFailed
        );
    }
}
