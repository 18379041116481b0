//! The forms as the first version wrote them, in `tests/fixtures/forms/`. They must stay readable, because a
//! replica of that version may be in the same cluster.

use std::time::Duration;

use bytes::Bytes;
use trackops_domain::decide::Rejection;
use trackops_domain::ids::Version;
use trackops_domain::status::Status;

use super::envelope::LinkFormError;
use super::*;
use crate::model::orders_error::OrdersError;

const REQUESTS: &str = include_str!("../../../tests/fixtures/forms/link_requests.jsonl");
const ANSWERS: &str = include_str!("../../../tests/fixtures/forms/link_answers.jsonl");
const MESSAGES: &str = include_str!("../../../tests/fixtures/forms/link_messages.jsonl");

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

#[test]
fn the_first_forms_are_read_and_written_the_same() {
    let check = |text: &str, again: &dyn Fn(&[u8]) -> Bytes| {
        for read in [text, &with_more(text)] {
            let written = again(read.as_bytes());
            assert_eq!(String::from_utf8_lossy(&written), text, "{read}");
        }
    };
    for text in REQUESTS.lines() {
        // The key itself isn't sent any more: the order's id, which follows from it, takes its place.
        let is_keyed = text.contains(r#""key":{"key":"k""#);
        let again = |read: &[u8]| {
            let written = Request::decode(read).expect(text).encode();
            let written = String::from_utf8_lossy(&written).into_owned();
            let order = r#""key":{"key":"0198c5f0-0000-7000-8000-000000000001""#;
            assert_eq!(written.contains(order), is_keyed, "{written}");
            written.replace(order, r#""key":{"key":"k""#).into()
        };
        check(text, &again);
    }
    for text in ANSWERS.lines() {
        check(text, &|read| Answer::decode(read).expect(text).encode());
    }
    for text in MESSAGES.lines() {
        check(text, &|read| Message::decode(read).expect(text).encode());
    }
}

#[test]
fn a_whole_order_arrives_as_it_was() {
    let text = ANSWERS
        .lines()
        .find(|text| text.contains(r#""kind":"order""#));
    let text = text.expect("is there");
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
