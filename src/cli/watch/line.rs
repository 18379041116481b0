//! A live message as one line for a person.

use super::message::{ServerMessage, Update};
use crate::cli::text::{printable, short_id, time_of_day};

/// The line; `None` for a message that isn't shown.
pub fn line(message: &ServerMessage) -> Option<String> {
    let line = match message {
        ServerMessage::Update(update) => update_line(update),
        ServerMessage::Snapshot {
            order_id,
            version,
            order,
        } => format!(
            "{}  {}  {:<24}  v{version}{}",
            time_of_day(order.updated_at),
            short_id(*order_id),
            format!("is {}", order.status),
            because(order.reason.as_deref()),
        ),
        ServerMessage::Location {
            order_id,
            lat,
            lon,
            at,
        } => format!(
            "{}  {}  courier at {lat:.5}, {lon:.5}",
            time_of_day(*at),
            short_id(*order_id),
        ),
        ServerMessage::Error { .. } | ServerMessage::Unknown => return None,
    };
    Some(printable(&line))
}

fn update_line(update: &Update) -> String {
    let previous = update.previous_status.as_deref().unwrap_or("placed");
    let change = format!("{previous} → {}", update.status);
    format!(
        "{}  {}  {change:<24}  v{}  by {}{}",
        time_of_day(update.at),
        short_id(update.order_id),
        update.version,
        update.by,
        because(update.reason.as_deref()),
    )
}

fn because(reason: Option<&str>) -> String {
    reason.map_or_else(String::new, |reason| format!(": {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(json: &str) -> Option<String> {
        line(&serde_json::from_str(json).expect("a message"))
    }

    #[test]
    fn each_message_is_one_line() {
        let id = r#""orderId":"01927c3e-8f1a-7000-8000-0123456789ab""#;
        let at = r#""at":"2026-01-31T12:00:00.000Z""#;
        let first = format!(
            r#"{{"type":"update",{id},"version":1,"previousStatus":null,"status":"PENDING",{at},"by":"client"}}"#
        );
        assert_eq!(
            told(&first).as_deref(),
            Some("12:00:00.000Z  …456789ab  placed → PENDING          v1  by client")
        );
        let end = format!(
            r#"{{"type":"update",{id},"version":2,"previousStatus":"PENDING","status":"REJECTED",{at},"by":"inventory","reason":"no\nA"}}"#
        );
        assert_eq!(
            told(&end).as_deref(),
            Some("12:00:00.000Z  …456789ab  PENDING → REJECTED        v2  by inventory: no A")
        );
        let place = format!(r#"{{"type":"location",{id},"lat":52.5,"lon":13.4,{at},"eta":null}}"#);
        assert_eq!(
            told(&place).as_deref(),
            Some("12:00:00.000Z  …456789ab  courier at 52.50000, 13.40000")
        );
        let whole = format!(
            r#"{{"type":"snapshot",{id},"version":3,"order":{{"status":"PREPARING","updatedAt":"2026-01-31T12:00:00.000Z","id":1}}}}"#
        );
        assert_eq!(
            told(&whole).as_deref(),
            Some("12:00:00.000Z  …456789ab  is PREPARING              v3")
        );
        assert_eq!(told(r#"{"type":"confetti","n":1}"#), None);
    }
}
