//! The forms as the first version wrote them. They must stay readable, because a replica of that version may
//! be in the same cluster.

use std::time::Duration;

use bytes::Bytes;
use trackops_domain::decide::Rejection;
use trackops_domain::ids::Version;
use trackops_domain::status::Status;

use super::envelope::LinkFormError;
use super::*;
use crate::model::orders_error::OrdersError;

const CONTENT: &str = r#"{"customerId":"7f6c1b52-41f7-4c57-9a0e-2f0d6c1f5a11","currency":"EUR","items":[{"sku":"PIZZA","quantity":2,"unitPrice":950}],"address":{"street":"a","city":"b","postalCode":"c","country":"DE"}}"#;
const ID: &str = r#""0198c5f0-0000-7000-8000-000000000001""#;
const PEER: &str = r#"{"node":"b","incarnation":4,"address":"10.0.0.2:7080"}"#;
const POSITION: &str = r#"{"lat":52.5,"lon":13.4,"at":1700000000000}"#;

fn order() -> String {
    let (by, command) = (r#""client""#, ID);
    format!(
        r#"{{"id":{ID},"saga":{{"v":1,"stock":"releasing","askedAgain":1,"remembered":[[{ID},2]]}},"deadline":1700000060000,"events":[{{"version":1,"at":1700000000000,"by":{by},"command":{command},"status":"PENDING","data":{{"v":1,"content":{CONTENT}}}}},{{"version":2,"at":1700000001000,"by":{by},"command":{command},"status":"CONFIRMED"}},{{"version":3,"at":1700000002000,"by":{by},"command":{command},"status":"CANCELLED","data":{{"v":1,"reason":"no"}}}}]}}"#
    )
}

fn text(kind: &str, body: &str) -> String {
    format!(r#"{{"v":1,"kind":"{kind}","body":{body}}}"#)
}

/// The same form as a later version may write it.
fn with_more(text: &str) -> String {
    text.replacen(
        r#""body":{"#,
        r#""traceId":"x","body":{"later":{"a":[1]},"#,
        1,
    )
    // For a body that was empty.
    .replace("]},}", "]}}")
}

fn requests() -> Vec<String> {
    let hash = "07".repeat(32);
    let one = format!(r#"{{"order":{ID}}}"#);
    let execute = |command: &str| {
        let body = format!(
            r#"{{"order":{ID},"id":{ID},"keyed":true,"by":"client","ifMatch":[2,3],"command":{command},"traceparent":"00-a"}}"#
        );
        text("execute", &body)
    };
    vec![
        text(
            "place",
            &format!(
                r#"{{"order":{ID},"content":{CONTENT},"key":{{"key":"k","bodyHash":"{hash}"}}}}"#
            ),
        ),
        text("place", &format!(r#"{{"order":{ID},"content":{CONTENT}}}"#)),
        execute(r#"{"name":"advance","status":"PREPARING"}"#),
        execute(r#"{"name":"cancel","reason":"late"}"#),
        execute(r#"{"name":"stockReserved"}"#),
        execute(r#"{"name":"stockRefused","reason":"none left"}"#),
        execute(r#"{"name":"stockReleased"}"#),
        execute(r#"{"name":"deadlineDue","deadline":1700000060000,"requestUnsent":false}"#),
        execute(
            r#"{"name":"deadlineDue","deadline":1700000060000,"requestUnsent":false,"behind":true}"#,
        ),
        text("read", &one),
        text("history", &one),
        text(
            "locate",
            &format!(r#"{{"order":{ID},"position":{POSITION}}}"#),
        ),
        text(
            "locate",
            &format!(
                r#"{{"order":{ID},"position":{POSITION},"key":{{"id":{ID},"bodyHash":"{hash}"}}}}"#
            ),
        ),
        text("inspect", &one),
        text("release", &one),
        text("watch", &one),
        text(
            "watch",
            &format!(r#"{{"order":{ID},"subscriber":{{"peer":{PEER},"number":7}}}}"#),
        ),
    ]
}

fn answers() -> Vec<String> {
    let order = order();
    let failed = |body: &str| text("failed", body);
    vec![
        text(
            "done",
            &format!(r#"{{"order":{order},"replayed":true,"position":{POSITION}}}"#),
        ),
        text(
            "read",
            &format!(r#"{{"version":3,"view":{{"id":{ID}}},"position":{POSITION},"ageMs":1500}}"#),
        ),
        text("order", &order),
        text("history", &format!(r#"{{"order":{order},"ageMs":1500}}"#)),
        text("located", r#"{"replayed":true}"#),
        text(
            "report",
            r#"{"state":"live","shard":5,"epoch":7,"version":3,"mailbox":1,"restarts":2,"lastError":"x","lastErrorAt":1700000000000}"#,
        ),
        text("released", r#"{"released":true}"#),
        failed(r#"{"code":"notFound"}"#),
        failed(r#"{"code":"rejected","current":"PENDING","wanted":"DELIVERED"}"#),
        failed(r#"{"code":"preconditionFailed","version":3}"#),
        failed(r#"{"code":"keyReused"}"#),
        failed(r#"{"code":"notInTransit","current":"PENDING"}"#),
        failed(r#"{"code":"quarantined"}"#),
        failed(r#"{"code":"restarted"}"#),
        failed(r#"{"code":"overloaded","retryAfterMs":1000}"#),
        failed(r#"{"code":"overloaded","retryAfterMs":1000,"full":"bytes"}"#),
        failed(r#"{"code":"notOwner"}"#),
        text(
            "notOwner",
            r#"{"owner":{"node":"b","incarnation":4,"address":"10.0.0.2:7080","epoch":9}}"#,
        ),
        text("notOwner", "{}"),
        text("notUnderstood", r#"{"why":"unknown kind x"}"#),
    ]
}

fn messages() -> Vec<String> {
    let order = order();
    let watched = format!(r#"{{"order":{ID},"number":7}}"#);
    vec![
        text(
            "state",
            &format!(r#"{{"order":{ID},"number":7,"state":{order},"position":{POSITION}}}"#),
        ),
        text("moved", &watched),
        text("unwatch", &watched),
    ]
}

#[test]
fn the_first_forms_are_read_and_written_the_same() {
    let written = |bytes: Bytes| String::from_utf8(bytes.into()).expect("JSON is UTF-8");
    for text in requests() {
        for text in [&text, &with_more(&text)] {
            let read = Request::decode(text.as_bytes()).expect(text);
            assert!(requests().contains(&written(read.encode())), "{text}");
        }
    }
    for text in answers() {
        for text in [&text, &with_more(&text)] {
            let read = Answer::decode(text.as_bytes()).expect(text);
            assert!(answers().contains(&written(read.encode())), "{text}");
        }
    }
    for text in messages() {
        for text in [&text, &with_more(&text)] {
            let read = Message::decode(text.as_bytes()).expect(text);
            assert!(messages().contains(&written(read.encode())), "{text}");
        }
    }
}

#[test]
fn a_whole_order_arrives_as_it_was() {
    let text = text("order", &order());
    let Ok(Answer::Order(order)) = Answer::decode(text.as_bytes()) else {
        panic!("not an order");
    };
    assert_eq!(order.version(), Version(3));
    assert_eq!(
        (order.status(), order.reason()),
        (Status::Cancelled, Some("no"))
    );
    assert_eq!(order.saga.asked_again, 1);
    assert_eq!(order.saga.stock.as_str(), "releasing");
    assert_eq!(order.remembered.len(), 1);
    let Ok(Answer::Order(again)) = Answer::decode(&Answer::Order(order.clone()).encode()) else {
        panic!("not an order");
    };
    assert_eq!(order, again);
}

#[test]
fn what_is_not_known_is_refused_by_name() {
    let unknown = text("teleport", "{}");
    let refused = Request::decode(unknown.as_bytes());
    assert!(matches!(&refused, Err(LinkFormError::Kind(kind)) if kind == "teleport"));
    let later = unknown.replace("\"v\":1", "\"v\":2");
    assert!(matches!(
        Request::decode(later.as_bytes()),
        Err(LinkFormError::Version(2))
    ));
    for bad in ["", "[]", "{\"v\":1}", "\u{0}", r#"{"v":1,"kind":"read"}"#] {
        assert!(Request::decode(bad.as_bytes()).is_err(), "{bad:?}");
    }
}

#[test]
fn an_error_of_a_later_version_may_pass() {
    let later = text("failed", r#"{"code":"moonPhase"}"#);
    let Ok(Answer::Failed(error)) = Answer::decode(later.as_bytes()) else {
        panic!("not an error");
    };
    assert!(
        matches!(error, OrdersError::Unavailable { .. }),
        "{error:?}"
    );
    let rejection = Rejection {
        current: Status::Pending,
        wanted: Status::Delivered,
    };
    let unavailable = OrdersError::Unavailable {
        why: "it rains",
        retry_after: Duration::from_secs(3),
    };
    for error in [OrdersError::Rejected(rejection), unavailable] {
        let sent = format!("{error:?}");
        let Ok(Answer::Failed(error)) = Answer::decode(&Answer::Failed(error).encode()) else {
            panic!("not an error");
        };
        match error {
            OrdersError::Rejected(read) => assert_eq!(read, rejection),
            OrdersError::Unavailable { retry_after, .. } => {
                assert_eq!(retry_after, Duration::from_secs(3));
            }
            other => panic!("{sent} became {other:?}"),
        }
    }
}
