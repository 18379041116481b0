//! A live message as one line for a person.

use trackops_client::Status;
use trackops_client::live::{LiveMessage, Update};

use crate::cli::text::{printable, short_id, time_of_day, with_courier};

/// The line; `None` for a message that isn't shown.
pub fn line(message: &LiveMessage) -> Option<String> {
    let line = match message {
        LiveMessage::Update(update) => update_line(update),
        LiveMessage::Snapshot {
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
        LiveMessage::Location {
            order_id,
            lat,
            lon,
            at,
        } => format!(
            "{}  {}  courier at {lat:.5}, {lon:.5}",
            time_of_day(*at),
            short_id(*order_id),
        ),
        _ => return None,
    };
    Some(printable(&line))
}

fn update_line(update: &Update) -> String {
    let previous = update.previous_status.as_ref();
    let previous = previous.map_or("placed", Status::as_str);
    let change = format!("{previous} → {}", update.status);
    format!(
        "{}  {}  {change:<24}  v{}  by {}{}{}",
        time_of_day(update.at),
        short_id(update.order_id),
        update.version,
        update.by,
        with_courier(update.courier_id.as_deref()),
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
        let way = format!(
            r#"{{"type":"update",{id},"version":4,"previousStatus":"PREPARING","status":"IN_TRANSIT",{at},"by":"kitchen","courierId":"anna"}}"#
        );
        assert_eq!(
            told(&way).as_deref(),
            Some(
                "12:00:00.000Z  …456789ab  PREPARING → IN_TRANSIT    v4  by kitchen, courier anna"
            )
        );
        let place = format!(r#"{{"type":"location",{id},"lat":52.5,"lon":13.4,{at},"eta":null}}"#);
        assert_eq!(
            told(&place).as_deref(),
            Some("12:00:00.000Z  …456789ab  courier at 52.50000, 13.40000")
        );
        let whole = format!(
            r#"{{"type":"snapshot",{id},"version":3,"order":{{"id":"01927c3e-8f1a-7000-8000-0123456789ab",
                "status":"PREPARING","version":3,"customerId":"01927c3e-8f1a-7000-8000-0123456789ab",
                "currency":"EUR","items":[],"totalAmount":0,"createdAt":"2026-01-31T12:00:00.000Z",
                "updatedAt":"2026-01-31T12:00:00.000Z","later":1,"address":{{"street":"S","city":"C",
                "postalCode":"1","country":"DE"}}}}}}"#
        );
        assert_eq!(
            told(&whole).as_deref(),
            Some("12:00:00.000Z  …456789ab  is PREPARING              v3")
        );
        assert_eq!(told(r#"{"type":"confetti","n":1}"#), None);
    }
}
