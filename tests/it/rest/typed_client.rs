//! The crate `trackops-client` against the real API: every call has an answer that the crate can read, with
//! every field that the API documents for it.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use trackops::api::server::Limits;
use trackops_client::{
    Admin, Answer, Client, DeadLetterId, Error, OrderFilter, PageRequest, Position, RetryPolicy,
    Status, WriteOptions,
};
use trackops_domain::command::Command;
use trackops_domain::ids::OrderId;
use uuid::Uuid;

use super::doubles::Next;
use super::raw::start;
use super::support::{Api, pizza};

const SKU: &str = "PIZZA-MARGHERITA";

/// A served API and a client of it.
fn serve(api: &Api) -> Client {
    let running = start(api, Limits::default(), Duration::ZERO);
    let url = format!("http://{}", running.addr);
    let client = Client::builder(&url).retry(RetryPolicy::none());
    client.build().expect("a client")
}

/// Fails if the crate has left out a field of the answer; gives what it read.
#[track_caller]
fn whole<T: Serialize>(answer: Answer<T>) -> T {
    let sent: Value = serde_json::from_slice(answer.body()).expect("JSON");
    let read = serde_json::to_value(&answer.value).expect("JSON");
    has_all(&sent, &read, "");
    answer.value
}

/// Each field of `sent` is in `read`.
#[track_caller]
fn has_all(sent: &Value, read: &Value, place: &str) {
    match (sent, read) {
        (Value::Object(sent), Value::Object(read)) => {
            for (name, value) in sent {
                let place = format!("{place}/{name}");
                let read = read.get(name);
                has_all(value, read.unwrap_or(&Value::Null), &place);
            }
        }
        (Value::Array(sent), Value::Array(read)) if sent.len() == read.len() => {
            for (sent, read) in sent.iter().zip(read) {
                has_all(sent, read, place);
            }
        }
        _ => assert_eq!(sent, read, "{place}"),
    }
}

#[tokio::test]
async fn orders_are_called_by_type() {
    let api = Api::new().await;
    let client = serve(&api);
    let content = serde_json::from_value(pizza()).expect("content");
    let mut id = Uuid::nil();
    for is_replay in [false, true] {
        let placed = client.place(&content, WriteOptions::keyed("k")).await;
        let placed = placed.expect("placed");
        assert_eq!((placed.status(), placed.is_replay()), (201, is_replay));
        assert_eq!(
            placed.etag().and_then(trackops_client::EntityTag::version),
            Some(1)
        );
        id = whole(placed).id;
    }
    api.saga(&id.to_string(), Command::StockReserved).await;

    let stale = WriteOptions::new().if_match(1_u32);
    let stale = client.advance(id, &Status::Preparing, stale).await;
    let stale = stale.expect_err("an old version");
    assert_eq!(
        stale.problem().expect("a problem").code,
        "precondition-failed"
    );
    let options = WriteOptions::new().if_match(2_u32);
    let preparing = client.advance(id, &Status::Preparing, options).await;
    assert_eq!(whole(preparing.expect("advanced")).version, 3);
    let refused = client
        .advance(id, &Status::Delivered, WriteOptions::new())
        .await;
    let refused = refused.expect_err("an illegal step");
    let problem = refused.problem().expect("a problem");
    assert_eq!(problem.current_status.as_deref(), Some("PREPARING"));
    assert!(
        problem
            .allowed
            .as_ref()
            .is_some_and(|steps| !steps.is_empty())
    );

    let way = client
        .advance_with_courier(id, &Status::InTransit, "anna", WriteOptions::new())
        .await;
    let way = whole(way.expect("advanced"));
    assert_eq!(way.courier_id.as_deref(), Some("anna"));
    let position = Position {
        lat: 52.52,
        lon: 13.41,
        at: None,
    };
    let located = client.locate(id, &position, WriteOptions::new()).await;
    assert_eq!(located.expect("told").status(), 204);
    let shown = whole(client.order(id).await.expect("shown"));
    assert_eq!(shown.content, content);
    assert_eq!(
        shown.courier.expect("on its way").lat.to_bits(),
        52.52_f64.to_bits()
    );
    let link = whole(client.tracking_link(id).await.expect("a link"));
    let tracked = client.tracking(&link.tracking_url).await;
    let tracked = whole(tracked.expect("shown"));
    assert_eq!(
        (tracked.status, tracked.stages.len()),
        (Status::InTransit, 4)
    );
    assert!(tracked.courier.is_some(), "on its way");
    let history = whole(client.history(id).await.expect("a history"));
    assert_eq!(history.items.len(), 4);
    assert_eq!(history.items[3].courier_id.as_deref(), Some("anna"));

    let other = client.place(&content, WriteOptions::unkeyed()).await;
    let other = other.expect("placed").value.id;
    let cancelled = client
        .cancel(other, Some("rain"), WriteOptions::new())
        .await;
    let cancelled = whole(cancelled.expect("cancelled"));
    assert_eq!(cancelled.reason.as_deref(), Some("rain"));
    assert!(cancelled.status.is_final());
    let filter = OrderFilter {
        statuses: vec![Status::Cancelled, Status::InTransit],
        customer: Some(content.customer_id),
        shops: content.shop_id.iter().cloned().collect(),
    };
    let mut page = Some(PageRequest::first(1));
    let mut listed = Vec::new();
    while let Some(request) = page {
        let found = client
            .orders(&filter, &request)
            .await
            .expect("a page")
            .value;
        page = found.next(request.limit);
        listed.extend(found.items.into_iter().map(|order| order.id));
    }
    listed.sort_unstable();
    let mut expected = [id, other];
    expected.sort_unstable();
    assert_eq!(listed, expected);

    api.orders.next(Next::Old(Duration::from_secs(7)));
    let old = client.order(id).await.expect("shown");
    assert_eq!(old.age(), Some(Duration::from_secs(7)));
}

#[tokio::test]
async fn stock_is_called_by_type() {
    let api = Api::new().await;
    let client = serve(&api);
    let options = || WriteOptions::keyed("k").if_absent();
    let set = client.set_on_hand(SKU, 100, options()).await;
    assert_eq!(whole(set.expect("set")).available, 100);
    assert!(
        client
            .set_on_hand(SKU, 100, options())
            .await
            .expect("again")
            .is_replay()
    );
    let there = WriteOptions::new().if_absent();
    let there = client.set_on_hand(SKU, 1, there).await.expect_err("there");
    assert_eq!(there.status(), Some(412));
    let order = Uuid::from_u128(7);
    api.reserve(OrderId(order), SKU, 2).await;
    let shown = client.item(SKU).await.expect("shown");
    let tag = shown.etag().cloned().expect("a tag");
    assert_eq!(whole(shown).available, 98);
    let below = WriteOptions::new().if_match(tag);
    let below = client
        .set_on_hand(SKU, 1, below)
        .await
        .expect_err("too few");
    assert_eq!(
        below.problem().and_then(|problem| problem.reserved),
        Some(2)
    );

    let adjusted = client.adjust(SKU, 5, "delivery", WriteOptions::new()).await;
    assert_eq!(whole(adjusted.expect("adjusted")).item.on_hand, 105);
    let adjustments = client.adjustments(SKU, &PageRequest::default()).await;
    assert_eq!(adjustments.expect("a page").value.items.len(), 1);
    let items = client.items(&PageRequest::first(1)).await;
    assert_eq!(items.expect("a page").value.items[0].sku, SKU);
    let unknown = client.item("a/b").await.expect_err("no such item");
    assert_eq!(unknown.problem().expect("a problem").code, "item-not-found");
    whole(client.item(SKU).await.expect("shown"));

    let held = whole(client.reservation(order).await.expect("shown"));
    assert_eq!((&*held.state, held.items[0].quantity), ("RESERVED", 2));
}

#[tokio::test]
async fn operations_are_called_by_type() {
    let api = Api::new().await;
    let admin = Admin::from(serve(&api));
    whole(admin.cluster().await.expect("a cluster"));
    let shards = whole(admin.shards().await.expect("shards"));
    assert_eq!(
        whole(admin.shard(0).await.expect("a shard")),
        shards.items[0]
    );
    let drained = whole(admin.drain("order-b").await.expect("drained"));
    assert!(drained.draining);
    let unknown = admin.drain("order-z").await.expect_err("no such node");
    assert_eq!(unknown.problem().expect("a problem").code, "node-not-found");

    let order = api.place().await.parse().expect("an id");
    let actor = whole(admin.actor(order).await.expect("an actor"));
    assert_eq!(actor.order_id, order);
    whole(admin.release_actor(order).await.expect("released"));
    let sagas = admin.sagas(false, &PageRequest::default()).await;
    assert_eq!(sagas.expect("a page").value.items[0].order_id, order);
    let stuck = admin.sagas(true, &PageRequest::default()).await;
    assert!(stuck.expect("a page").value.items.is_empty());
    assert_eq!(
        admin.outboxes().await.expect("outboxes").value[0].name,
        "orders"
    );

    let mut page = Some(PageRequest::first(1));
    let mut letters = Vec::new();
    while let Some(request) = page {
        let found = admin.dead_letters(None, &request).await.expect("a page");
        page = found.value.next(request.limit);
        letters.extend(found.value.items);
    }
    let first = &letters[0];
    let id = DeadLetterId {
        topic: first.topic.clone(),
        partition: first.partition,
        offset: first.offset,
    };
    assert_eq!(id.to_string(), first.id);
    assert_eq!(&whole(admin.dead_letter(&id).await.expect("shown")), first);
    assert_eq!(
        whole(admin.resend_dead_letter(&id).await.expect("sent")).topic,
        id.topic
    );
    let none = DeadLetterId { offset: 999, ..id };
    let none = admin.dead_letter(&none).await.expect_err("none there");
    assert!(matches!(none, Error::Refused(_)), "{none:?}");
}
