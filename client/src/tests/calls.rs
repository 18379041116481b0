//! Calls and answers have the documented form.

use serde_json::{Value, json};
use uuid::Uuid;

use super::server::{ID, Server, ok, problem, view};
use crate::{
    Admin, Client, DeadLetterId, Error, OrderFilter, PageRequest, Position, RetryPolicy, Status,
    Timestamp, WriteOptions,
};

fn id() -> Uuid {
    ID.parse().expect("an id")
}

#[tokio::test]
async fn an_order_goes_its_way() {
    let replay = vec![
        ("etag", "\"1\"".to_owned()),
        ("idempotency-replayed", "true".into()),
    ];
    let server = Server::start([
        (201, replay, view("PENDING", 1).to_string()),
        ok(&view("PREPARING", 3)),
        (200, vec![("age", "7".into())], view("LOST", 4).to_string()),
        (204, Vec::new(), String::new()),
        ok(&view("CANCELLED", 5)),
        ok(
            &json!({"orderId": ID, "items": [{"version": 1, "previousStatus": null,
            "status": "PENDING", "at": "2026-01-31T12:00:00.000Z", "by": "client",
            "commandId": ID}]}),
        ),
        ok(&json!({"items": [view("PENDING", 1)], "nextCursor": "c"})),
    ])
    .await;
    let client = Client::new(&server.url).expect("a client");

    let content = serde_json::from_value(view("X", 1)).expect("content");
    let placed = client.place(&content, WriteOptions::keyed("k-1")).await;
    let placed = placed.expect("placed");
    assert!(placed.is_replay());
    assert_eq!((placed.status(), placed.value.id), (201, id()));
    let tag = placed.etag().expect("a tag").clone();
    assert_eq!(tag.version(), Some(1));
    let raw: Value = serde_json::from_slice(placed.body()).expect("JSON");
    assert_eq!(raw["extra"], "a newer field");

    let options = WriteOptions::unkeyed().if_match(tag);
    let advanced = client.advance_with_courier(id(), &Status::Preparing, "anna", options);
    let advanced = advanced.await;
    assert_eq!(advanced.expect("advanced").value.status, Status::Preparing);
    let shown = client.order(id()).await.expect("shown");
    assert_eq!(shown.value.status.as_str(), "LOST", "a newer status");
    assert_eq!(shown.age().map(|age| age.as_secs()), Some(7));
    let at = Timestamp::from_unix_ms(0);
    let position = Position {
        lat: 52.5,
        lon: 13.4,
        at: Some(at),
    };
    let located = client.locate(id(), &position, WriteOptions::new()).await;
    assert_eq!(located.expect("told").status(), 204);
    let cancelled = client.cancel(id(), Some("rain"), WriteOptions::new()).await;
    assert_eq!(cancelled.expect("cancelled").value.version, 5);
    let history = client.history(id()).await.expect("a history").value;
    assert_eq!(history.items[0].previous_status, None);
    let filter = OrderFilter {
        statuses: vec![Status::Pending, Status::InTransit],
        customer: Some(id()),
        shops: vec!["north".into(), "a&b".into()],
    };
    let page = client.orders(&filter, &PageRequest::first(3)).await;
    let page = page.expect("a page").value;
    let next = page.next(Some(3)).expect("another");
    assert_eq!(next.cursor.as_deref(), Some("c"));

    let sent = server.sent();
    let order = format!("/api/v1/orders/{ID}");
    let targets: Vec<_> = sent.iter().map(|sent| &*sent.target).collect();
    let list = format!(
        "/api/v1/orders?status=PENDING&status=IN_TRANSIT&customerId={ID}&shopId=north&shopId=a%26b&limit=3"
    );
    assert_eq!(
        targets,
        [
            "/api/v1/orders",
            &format!("{order}/status"),
            &order,
            &format!("{order}/location"),
            &format!("{order}/cancel"),
            &format!("{order}/history"),
            &list,
        ]
    );
    assert_eq!(sent[0].key.as_deref(), Some("k-1"));
    assert_eq!(sent[0].body["items"][0]["unitPrice"], 950);
    assert_eq!(
        (&sent[1].key, &sent[1].body),
        (&None, &json!({"status": "PREPARING", "courierId": "anna"}))
    );
    assert_eq!(sent[1].if_match.as_deref(), Some("\"1\""));
    assert_eq!(sent[3].body["at"], "1970-01-01T00:00:00.000Z");
    assert_eq!(sent[4].body, json!({"reason": "rain"}));
    let made = [&sent[3].key, &sent[4].key].map(|key| key.as_deref().expect("a key"));
    assert_ne!(made[0], made[1], "a key for each call");
}

#[tokio::test]
async fn an_order_is_followed_by_its_link() {
    let tracked = json!({"status": "IN_TRANSIT", "version": 4, "city": "Berlin",
        "stages": [{"status": "PENDING", "at": "2026-01-31T12:00:00.000Z"}],
        "items": [{"sku": "A", "quantity": 2}], "extra": "a newer field",
        "courier": {"lat": 52.5, "lon": 13.4, "at": "2026-01-31T12:00:00.000Z"}});
    let server = Server::start([
        ok(&json!({"trackingUrl": "https://shop.example/track/AWsx_-"})),
        ok(&tracked),
        ok(&tracked),
        (502, Vec::new(), "bad gateway".into()),
    ])
    .await;
    let client = Client::builder(&server.url).retry(RetryPolicy::none());
    let client = client.build().expect("a client");
    let link = client.tracking_link(id()).await.expect("a link").value;
    for link in [&*link.tracking_url, "AWsx_-"] {
        let shown = client.tracking(link).await.expect("shown").value;
        assert_eq!(
            (shown.status, shown.items[0].quantity),
            (Status::InTransit, 2)
        );
    }
    // The token is a credential: an error doesn't tell it.
    let error = client.tracking("AWsx_-").await.expect_err("a proxy's");
    let told = format!("{error} {error:?}");
    assert!(
        told.contains("/api/v1/tracking/") && !told.contains("AWsx"),
        "{told}"
    );
    let targets: Vec<_> = server.sent().into_iter().map(|sent| sent.target).collect();
    let order = format!("/api/v1/orders/{ID}/tracking-link");
    let tracking = "/api/v1/tracking/AWsx_-";
    assert_eq!(targets, [&*order, tracking, tracking, tracking]);
}

#[tokio::test]
async fn stock_and_dead_letters_are_managed() {
    let item = json!({"sku": "A/B", "onHand": 7, "reserved": 2, "available": 5, "version": 9});
    let server = Server::start([
        ok(&item),
        ok(
            &json!({"id": 1, "delta": -2, "reason": "broken", "at": "2026-01-31T12:00:00.000Z",
            "item": item}),
        ),
        ok(
            &json!({"items": [{"id": "T/0/7", "topic": "T", "partition": 0, "offset": 7,
            "key": null, "reason": "no JSON", "parkedAt": "x", "payload": "{"}],
            "nextCursor": null}),
        ),
        ok(&json!({"topic": "T"})),
        problem(404, "item-not-found", None),
    ])
    .await;
    let client = Client::new(&server.url).expect("a client");
    let stocked = client
        .set_on_hand("A/B", 7, WriteOptions::new().if_match(8_u64))
        .await;
    assert_eq!(stocked.expect("set").value.available, 5);
    let adjusted = client
        .adjust("A/B", -2, "broken", WriteOptions::new())
        .await;
    assert_eq!(adjusted.expect("adjusted").value.item.version, 9);
    let admin = Admin::from(client.clone());
    let letters = admin.dead_letters(Some("T"), &PageRequest::first(1)).await;
    assert_eq!(letters.expect("a list").value.items[0].id, "T/0/7");
    let letter = DeadLetterId {
        topic: "T".into(),
        partition: 0,
        offset: 7,
    };
    let again = admin.resend_dead_letter(&letter).await.expect("sent");
    assert_eq!(again.value.topic, "T");
    let unknown = client.item("NONE").await.expect_err("no such item");
    assert_eq!(unknown.problem().expect("a problem").code, "item-not-found");
    assert_eq!(unknown.status(), Some(404));

    let sent = server.sent();
    assert_eq!(sent[0].target, "/api/v1/inventory/items/A%2FB");
    assert_eq!(sent[0].if_match.as_deref(), Some("\"8\""));
    assert_eq!(sent[1].body, json!({"delta": -2, "reason": "broken"}));
    assert_eq!(sent[2].target, "/admin/v1/dead-letters?limit=1&topic=T");
    assert_eq!(sent[3].target, "/admin/v1/dead-letters/T/0/7/send");
    assert_eq!(
        (&*sent[3].method.to_string(), &sent[3].key),
        ("POST", &None)
    );
}

#[tokio::test]
async fn what_is_not_of_trackops_is_foreign() {
    let moved = vec![("location", "https://shop.example/".to_owned())];
    let server = Server::start([
        (200, Vec::new(), "<html>hello".to_owned()),
        (404, Vec::new(), "<html>gone".into()),
        (301, moved, String::new()),
    ])
    .await;
    let client = Client::new(&server.url).expect("a client");
    for (status, text) in [
        (200, "<html>hello"),
        (404, "<html>gone"),
        (301, "moved to https://shop.example/"),
    ] {
        let error = client.order(id()).await.expect_err("no view");
        let Error::Foreign { excerpt, url, .. } = &error else {
            panic!("{error:?}");
        };
        assert_eq!((error.status(), &**excerpt), (Some(status), text));
        assert!(url.ends_with(ID), "{url}");
    }
    assert_eq!(server.sent().len(), 3, "nothing was followed");
}

#[tokio::test]
async fn a_key_that_no_header_holds_is_not_sent() {
    let server = Server::start([]).await;
    let client = Client::new(&server.url).expect("a client");
    let options = WriteOptions::keyed("two\nlines");
    let error = client.cancel(id(), None, options).await;
    let error = error.expect_err("no header");
    assert!(matches!(error, Error::Usage(_)), "{error:?}");
    assert!(server.sent().is_empty());
}
