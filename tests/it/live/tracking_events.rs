//! The event stream of a tracking link on loopback: what it shows, how it resumes, and that it ends with the link.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;
use trackops::model::orders_error::OrdersError;
use trackops_domain::status::Status;
use uuid::Uuid;

use crate::live::live_support::SOMEWHERE;
use crate::live::track_support::{PATIENCE, Server, next_event};

const DAY: Duration = Duration::from_hours(24);

/// Nobody but the order's own people may see these: who ordered, where exactly it goes, who acted, and the price.
#[track_caller]
fn is_reduced(data: &Value) {
    let text = data.to_string();
    for secret in [
        "\"orderId\"",
        "\"id\"",
        "customerId",
        "Weg 1",
        "10115",
        "\"by\"",
        "test",
        "commandId",
        "950",
        "1900",
        "courierId",
    ] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
}

#[tokio::test]
async fn a_link_has_a_stream_of_what_it_shows() {
    let server = Server::start(|_| {});
    let order = server.orders.place();
    let url = server.tracking_url(order);
    let http = reqwest::Client::new();
    let mut text = String::new();
    let mut stream = http.get(&url).send().await.expect("answers");
    let head = stream.headers();
    assert_eq!(head["content-type"], "text/event-stream");
    assert_eq!(head["cache-control"], "no-store, no-transform");
    let (event, id, data) = next_event(&mut stream, &mut text).await;
    is_reduced(&data);
    assert_eq!((&*event, &*id), ("snapshot", "1"));
    let at = "2023-11-14T22:13:20.000Z";
    assert_eq!(
        data,
        json!({"type": "snapshot", "version": 1, "order": {
            "status": "PENDING", "version": 1, "city": "Berlin",
            "stages": [{"status": "PENDING", "at": at}],
            "items": [{"sku": "PIZZA-MARGHERITA", "quantity": 2}]}})
    );
    // One that follows the same order with everything is told everything still.
    let mut whole = http
        .get(server.events_url(order))
        .send()
        .await
        .expect("answers");
    let mut whole_text = String::new();
    next_event(&mut whole, &mut whole_text).await;

    server.orders.advance(order, Status::Confirmed);
    server.orders.advance(order, Status::InTransit);
    for (version, status) in [("2", "CONFIRMED"), ("3", "IN_TRANSIT")] {
        let (event, id, data) = next_event(&mut stream, &mut text).await;
        is_reduced(&data);
        assert_eq!((&*event, &*id), ("update", version));
        assert_eq!(data["status"], status);
        let (_, _, data) = next_event(&mut whole, &mut whole_text).await;
        assert_eq!(data["by"], "test");
    }
    server.orders.locate_now(order, SOMEWHERE);
    let (event, id, data) = next_event(&mut stream, &mut text).await;
    assert_eq!((&*event, &*id), ("location", ""));
    assert_eq!(
        data,
        json!({"type": "location", "lat": 52.5, "lon": 13.4, "at": at})
    );
    drop(stream);

    server.orders.advance(order, Status::Delivered);
    let resumed = |last: &'static str| http.get(&url).header("last-event-id", last).send();
    let mut stream = resumed("2").await.expect("answers");
    text.clear();
    for version in ["3", "4"] {
        let (event, id, data) = next_event(&mut stream, &mut text).await;
        is_reduced(&data);
        assert_eq!((&*event, &*id), ("update", version));
    }
    assert_eq!(resumed("4").await.expect("answers").status(), 204);
}

/// A slow reader gets a snapshot in place of many updates: that is reduced, too.
#[tokio::test]
async fn what_is_left_out_for_a_slow_reader_is_made_up_for_by_a_reduced_snapshot() {
    let server = Server::start(|limits| limits.queue.updates = 1);
    let order = server.orders.place();
    server.orders.advance(order, Status::Confirmed);
    server.orders.advance(order, Status::InTransit);
    server.orders.locate_now(order, SOMEWHERE);
    let url = format!("{}?since=0", server.tracking_url(order));
    let mut stream = reqwest::get(url).await.expect("answers");
    let mut text = String::new();
    let (event, id, data) = next_event(&mut stream, &mut text).await;
    is_reduced(&data);
    assert_eq!((&*event, &*id), ("snapshot", "3"));
    assert_eq!(data["order"]["stages"][2]["status"], "IN_TRANSIT");
}

#[tokio::test]
async fn an_open_stream_ends_with_its_link() {
    let server = Server::start(|limits| limits.keep_alive = Duration::from_millis(30));
    let order = server.orders.place();
    let url = server.tracking_url(order);
    let mut stream = reqwest::get(&url).await.expect("answers");
    let mut text = String::new();
    next_event(&mut stream, &mut text).await;
    // An order that goes on has a link that goes on.
    server.clock.put_forward(9 * DAY);
    server.orders.advance(order, Status::Delivered);
    next_event(&mut stream, &mut text).await;
    let rest = timeout(PATIENCE, async {
        while stream.chunk().await.expect("in order").is_some() {}
    });
    rest.await.expect("it ends");
    let refused = reqwest::get(&url).await.expect("answers");
    assert_eq!(refused.status(), 404);
    let problem: Value = refused.json().await.expect("JSON");
    assert_eq!(problem["code"], "tracking-link-not-found");
    assert_eq!(server.hub.watched_orders(), 0);
}

#[tokio::test]
async fn what_will_pass_is_an_event_that_tells_nothing_of_the_order() {
    let server = Server::start(|limits| {
        limits.connections_max = 1;
        limits.crowd_patience = Duration::ZERO;
    });
    let order = server.orders.place();
    let url = server.tracking_url(order);
    let refusal = async || {
        let answer = reqwest::get(&url).await.expect("answers");
        assert_eq!(answer.status(), 200);
        let text = answer.text().await.expect("it ends");
        let (retry, data) = text.split_once("\n\nevent: problem\ndata: ").expect("two");
        assert!(retry.starts_with("retry: "), "{text}");
        let data: Value = serde_json::from_str(data.trim_end()).expect("JSON");
        is_reduced(&data);
        let problem = &data["problem"];
        assert_eq!(problem["instance"], "/api/v1/tracking");
        assert_eq!(problem["code"], "unavailable");
        data.to_string()
    };
    server.orders.crowd.store(1, SeqCst);
    let mut told = vec![refusal().await];
    for error in [OrdersError::LeaseOver, OrdersError::Quarantined] {
        server.orders.refuse_next(error);
        told.push(refusal().await);
    }
    let open = reqwest::get(&url).await.expect("answers");
    told.push(refusal().await);
    drop(open);
    told.dedup();
    assert_eq!(told.len(), 1, "{told:#?}");

    // What won't pass is an error, whatever it is.
    let unknown = server.tracking_url(trackops_domain::ids::OrderId(Uuid::now_v7()));
    server.until_open(0).await;
    let refused = reqwest::get(unknown).await.expect("answers");
    assert_eq!(refused.status(), 404);
    let problem: Value = refused.json().await.expect("JSON");
    assert_eq!(problem["code"], "tracking-link-not-found");
}
