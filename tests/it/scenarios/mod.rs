//! What has to work for clients in both modes: the whole life of an order, live, and the answers to
//! repeats, races and bad input. Each scenario has orders of its own, so they run side by side.

mod bad_input;
mod end_to_end;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use crate::support::bodies::{order, order_of};
use crate::support::client::Client;
use crate::support::stream::EventStream;
use crate::support::wait::until;

/// Place to DELIVERED, watched by a socket and a stream from the beginning.
pub async fn an_order_lives_and_is_watched(client: &Client) {
    let placed = client.place(&order(), None).await.expect(201);
    let id = placed.id();
    assert_eq!(placed.header("location"), format!("/api/v1/orders/{id}"));
    assert_eq!((placed.text("status"), placed.version()), ("PENDING", 1));
    assert_eq!(placed.header("etag"), "\"1\"");
    assert_eq!(placed.body["totalAmount"], 1900);

    let url = format!("{}/api/v1/orders/{id}/events", client.to.order);
    let mut events = EventStream::open(&format!("{url}?since=0"), None).await;
    let mut socket = Socket::open(client).await;
    socket
        .send(&json!({"type": "subscribe", "orderId": id, "since": 0}))
        .await;

    let confirmed = client.reaches(id, "CONFIRMED").await;
    assert_eq!(confirmed.version(), 2);
    client.advance(id, "PREPARING", &[]).await.expect(200);
    client.locate(id, 52.5, 13.4).await.expect(409);
    let moving = client.advance(id, "IN_TRANSIT", &[]).await.expect(200);
    assert_eq!(moving.header("etag"), "\"4\"");
    client.locate(id, 52.52, 13.41).await.expect(204);
    let shown = client.show(id).await.expect(200);
    assert_eq!(shown.body["courier"]["lat"], 52.52);
    client.advance(id, "DELIVERED", &[]).await.expect(200);

    let steps = [
        "PENDING",
        "CONFIRMED",
        "PREPARING",
        "IN_TRANSIT",
        "location",
        "DELIVERED",
    ];
    let mut heard = Vec::new();
    while heard.last().map(String::as_str) != Some("DELIVERED") {
        heard.push(kind_of(&socket.next().await));
    }
    assert_eq!(heard, steps, "on the socket");
    let mut heard = Vec::new();
    while heard.last().map(String::as_str) != Some("DELIVERED") {
        let event = events.next().await.expect("the stream goes on");
        let version = event.data["version"].as_u64().map(|v| v.to_string());
        assert_eq!(event.id, version.unwrap_or_default(), "{event:?}");
        heard.push(kind_of(&event.data));
    }
    assert_eq!(heard, steps, "on the stream");
    let ended = EventStream::open(&url, Some("5")).await;
    assert_eq!(ended.status, 204, "a reconnect after the final version");
    history_tells(client, id).await;
}

/// What a live message tells: the status it led to, or its type.
fn kind_of(message: &Value) -> String {
    let status = message["status"].as_str();
    status.or(message["type"].as_str()).unwrap_or("").to_owned()
}

async fn history_tells(client: &Client, id: Uuid) {
    let history = client
        .get(&format!("/api/v1/orders/{id}/history"))
        .await
        .expect(200);
    let entries = history.body["items"].as_array().or(history.body.as_array());
    let entries = entries.expect("a list").clone();
    let versions: Vec<u64> = entries
        .iter()
        .filter_map(|e| e["version"].as_u64())
        .collect();
    assert_eq!(versions, [1, 2, 3, 4, 5]);
    assert_eq!(entries[0]["previousStatus"], Value::Null);
    assert_eq!(entries[4]["previousStatus"], "IN_TRANSIT");
    assert!(
        entries
            .iter()
            .all(|e| e["by"].is_string() && e["at"].is_string())
    );
    let reservation = format!("{}/api/v1/inventory/reservations/{id}", client.to.inventory);
    until("the stock is shipped", || async {
        let answer = client.fetch(&reservation).await;
        answer.body.to_string().contains("SHIPPED").then_some(())
    })
    .await;
}

/// Not in stock: REJECTED with a reason that names it.
pub async fn what_is_not_stocked_is_rejected(client: &Client) {
    let placed = client
        .place(&order_of("UNICORN", 1), None)
        .await
        .expect(201);
    let rejected = client.reaches(placed.id(), "REJECTED").await;
    assert!(rejected.text("reason").contains("UNICORN"), "{rejected:#?}");
    let refused = client.cancel(placed.id(), "too late").await.expect(409);
    assert_eq!(refused.text("currentStatus"), "REJECTED");
    assert_eq!(refused.body["allowed"], json!([]));
}

/// A cancellation puts the stock back.
pub async fn a_cancelled_order_gives_its_stock_back(client: &Client) {
    let sku = format!("RARE-{}", Uuid::new_v4().simple());
    client.stock(&sku, 5).await.expect(200);
    let id = client
        .place(&order_of(&sku, 4), None)
        .await
        .expect(201)
        .id();
    client.reaches(id, "CONFIRMED").await;
    let item = format!("{}/api/v1/inventory/items/{sku}", client.to.inventory);
    let held = client.fetch(&item).await.expect(200);
    assert_eq!(
        (&held.body["reserved"], &held.body["available"]),
        (&json!(4), &json!(1))
    );
    client.stock(&sku, 3).await.expect(409);
    // Another order for more than is left gets nothing of it.
    let second = client
        .place(&order_of(&sku, 2), None)
        .await
        .expect(201)
        .id();
    client.reaches(second, "REJECTED").await;
    let cancelled = client.cancel(id, "changed my mind").await.expect(200);
    assert_eq!(cancelled.text("reason"), "changed my mind");
    until("the stock is back", || async {
        let item = client.fetch(&item).await;
        (item.body["available"] == 5).then_some(())
    })
    .await;
}

/// The same key: the same answer; another body: refused; a race: one order.
pub async fn a_key_makes_repeats_safe(client: &Client) {
    let key = Uuid::new_v4().to_string();
    let body = order();
    let (left, right) = tokio::join!(
        client.place(&body, Some(&key)),
        client.place(&body, Some(&key))
    );
    let (left, right) = (left.expect(201), right.expect(201));
    assert_eq!(left.id(), right.id(), "one order of two racing requests");
    let id = left.id();
    let namespace = Uuid::from_u128(0x8f1b_6f2c_53a4_4c1e_9a57_2f60_1d5e_7b43);
    assert_eq!(id, Uuid::new_v5(&namespace, key.as_bytes()));
    client.reaches(id, "CONFIRMED").await;
    let again = client.place(&body, Some(&key)).await.expect(201);
    assert_eq!((again.id(), again.version()), (id, 1), "as it was placed");
    assert_eq!(again.header("idempotency-replayed"), "true");
    let other = client
        .place(&order_of("PIZZA", 3), Some(&key))
        .await
        .expect(422);
    assert_eq!(other.text("code"), "idempotency-key-reused");

    let step = [("idempotency-key", "step-1"), ("if-match", "\"2\"")];
    let first = client.advance(id, "PREPARING", &step).await.expect(200);
    assert_eq!(first.version(), 3);
    client.advance(id, "IN_TRANSIT", &[]).await.expect(200);
    // A known command is answered before If-Match and legality are looked at.
    let again = client.advance(id, "PREPARING", &step).await.expect(200);
    assert_eq!((again.version(), again.text("status")), (3, "PREPARING"));
    assert_eq!(again.header("idempotency-replayed"), "true");
}

/// `ETag`, 304, 412, the same step again, and illegal steps.
pub async fn versions_guard_steps(client: &Client) {
    let id = client.place(&order(), None).await.expect(201).id();
    let path = format!("/api/v1/orders/{id}");
    let confirmed = client.reaches(id, "CONFIRMED").await;
    let etag = confirmed.header("etag").to_owned();
    let get = async |tag: &str| {
        client
            .call(reqwest::Method::GET, &path, &[("if-none-match", tag)], None)
            .await
            .status
    };
    assert_eq!(get(&etag).await, 304);
    assert_eq!(get("\"1\"").await, 200);

    let stale = client
        .advance(id, "PREPARING", &[("if-match", "\"1\"")])
        .await
        .expect(412);
    assert_eq!(stale.text("code"), "precondition-failed");
    client
        .advance(id, "PREPARING", &[("if-match", "W/\"2\"")])
        .await
        .expect(412);
    client
        .advance(id, "PREPARING", &[("if-match", &etag)])
        .await
        .expect(200);
    let same = client.advance(id, "PREPARING", &[]).await.expect(200);
    assert_eq!(same.version(), 3, "the same step changes nothing");
    let illegal = client.advance(id, "DELIVERED", &[]).await.expect(409);
    assert_eq!(illegal.text("currentStatus"), "PREPARING");
    assert_eq!(illegal.body["allowed"], json!(["IN_TRANSIT", "CANCELLED"]));
    client.cancel(id, "no more").await.expect(200);
    let over = client.advance(id, "IN_TRANSIT", &[]).await.expect(409);
    assert_eq!(
        (over.text("currentStatus"), &over.body["allowed"]),
        ("CANCELLED", &json!([]))
    );
    client.advance(id, "CANCELLED", &[]).await.expect(200);
}

/// Pages: every order of a customer exactly once, newest first.
pub async fn lists_give_every_order_once(client: &Client) {
    let customer = Uuid::new_v4();
    let mut body = order();
    body["customerId"] = json!(customer);
    let mut placed = Vec::new();
    for _ in 0..7 {
        placed.push(client.place(&body, None).await.expect(201).id());
    }
    let mut listed = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/api/v1/orders?customerId={customer}&limit=3{cursor}");
        let page = client.get(&path).await.expect(200);
        let items = page.body["items"].as_array().expect("items").clone();
        assert!(items.len() <= 3);
        listed.extend(
            items
                .iter()
                .filter_map(|o| o["id"].as_str()?.parse::<Uuid>().ok()),
        );
        match page.body["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    listed.sort_unstable();
    placed.sort_unstable();
    assert_eq!(listed, placed);
}

/// A WebSocket of a test.
pub struct Socket(
    tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>,
);

impl Socket {
    /// Opens one.
    pub async fn open(client: &Client) -> Self {
        let url = format!(
            "{}/api/v1/track",
            client.to.order.replace("http://", "ws://")
        );
        Self(connect_async(url).await.expect("the socket opens").0)
    }

    /// Sends a message.
    pub async fn send(&mut self, message: &Value) {
        let sent = self.0.send(Message::text(message.to_string())).await;
        sent.expect("the socket takes a message");
    }

    /// The next message's JSON.
    pub async fn next(&mut self) -> Value {
        match self.frame().await {
            Message::Text(text) => serde_json::from_str(&text).expect("JSON"),
            other => panic!("{other:?} instead of a message"),
        }
    }

    /// The next frame that is neither ping nor pong.
    pub async fn frame(&mut self) -> Message {
        loop {
            let next = tokio::time::timeout(std::time::Duration::from_secs(30), self.0.next());
            let frame = next
                .await
                .expect("a frame in time")
                .expect("the socket is open");
            match frame.expect("a whole frame") {
                Message::Ping(_) | Message::Pong(_) => {}
                frame => return frame,
            }
        }
    }
}
