//! The live messages that are not an order's: what a client asks on a socket, and what can't be done,
//! which a socket names `error` and a stream `problem`.

use bytes::Bytes;
use serde::Serialize;
use trackops_domain::ids::{OrderId, Version};

use crate::api::params;
use crate::api::problem::{Problem, ProblemBody};
use crate::api::problem_code::Code;
use crate::codec::live::ClientMessage;

/// What a client asks for an order.
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

/// Reads a client's message.
pub fn parse(text: &str) -> Result<(OrderId, Wanted), Problem> {
    let message = serde_json::from_str(text).map_err(|error| {
        if error.is_data() {
            Problem::invalid_field("", error.to_string())
        } else {
            Problem::new(Code::MalformedJson, error.to_string())
        }
    })?;
    let (order, wanted) = match message {
        ClientMessage::Subscribe { order_id, since } => {
            let since = since.map(Version);
            (order_id, Wanted::Subscribe { since })
        }
        ClientMessage::Unsubscribe { order_id } => (order_id, Wanted::Unsubscribe),
    };
    let order =
        params::uuid(&order).ok_or_else(|| Problem::invalid_field("/orderId", "must be a UUID"))?;
    Ok((OrderId(order), wanted))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ErrorMessage<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: Option<uuid::Uuid>,
    problem: &'a ProblemBody,
}

/// The `error` message of a socket that tells of `problem`.
pub fn error_message(problem: &Problem, order: Option<OrderId>) -> Bytes {
    message("error", problem, order)
}

/// The `problem` message of a stream: in a browser, `error` is the name of an event of its own.
pub fn problem_message(problem: &Problem, order: OrderId) -> Bytes {
    message("problem", problem, Some(order))
}

fn message(kind: &'static str, problem: &Problem, order: Option<OrderId>) -> Bytes {
    let message = ErrorMessage {
        kind,
        order_id: order.map(|id| id.0),
        problem: problem.body(),
    };
    // Plain strings and numbers: writing them to memory has no way to fail.
    serde_json::to_vec(&message).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

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
            parse(&subscribe).expect("is right"),
            (OrderId(id), Wanted::Subscribe { since })
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
