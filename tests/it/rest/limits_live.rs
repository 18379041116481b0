//! Limits and bounds of connections that stay open, over real sockets.

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};
use trackops::api::server::Limits;
use trackops::config::{Rate, Rates};

use super::raw::{PATIENCE, Running, is_sound, rest, start};
use super::support::Api;
use crate::support::wait::until;

fn subscriptions(burst: u32) -> Rates {
    let rate = Rate {
        count: 1,
        period_s: 60,
        burst,
    };
    Rates {
        subscribe: Some(rate),
        ..Rates::default()
    }
}

async fn open(running: &Running) -> Result<WebSocketStream<TcpStream>, Box<Error>> {
    let url = format!("ws://{}/api/v1/track", running.addr);
    let opened = client_async(url, running.connect().await).await;
    opened.map(|(socket, _)| socket).map_err(Box::new)
}

async fn told(socket: &mut WebSocketStream<TcpStream>) -> Value {
    loop {
        let next = timeout(PATIENCE, socket.next()).await.expect("in time");
        if let Message::Text(text) = next.expect("is open").expect("a message") {
            return serde_json::from_str(&text).expect("JSON");
        }
    }
}

#[tokio::test]
async fn a_socket_over_its_limit_is_told_and_lives() {
    let api = Api::new().await.limited(subscriptions(3), 0);
    let order = api.place().await;
    let running = start(&api, Limits::default(), PATIENCE);
    let mut socket = open(&running).await.expect("is upgraded");
    let subscribe = json!({"type": "subscribe", "orderId": order}).to_string();
    let mut kinds = Vec::new();
    for _ in 0..4 {
        let message = Message::text(subscribe.clone());
        socket.send(message).await.expect("is sent");
        let answer = told(&mut socket).await;
        let code = answer["problem"]["code"].as_str().map(str::to_owned);
        kinds.push((answer["type"].as_str().expect("a type").to_owned(), code));
    }
    let snapshot = ("snapshot".to_owned(), None);
    let over = ("error".to_owned(), Some("rate-limited".to_owned()));
    assert_eq!(kinds, [snapshot.clone(), snapshot, over.clone(), over]);
    // What it follows already goes on.
    let path = format!("/api/v1/orders/{order}/cancel");
    let cancelled = api.json("POST", &path, &json!({"reason": "late"})).await;
    assert_eq!(cancelled.status, 200, "{}", cancelled.text);
    assert_eq!(told(&mut socket).await["status"], "CANCELLED");
    // Another isn't even upgraded.
    let Err(refused) = open(&running).await else {
        panic!("it is over the limit");
    };
    let Error::Http(response) = *refused else {
        panic!("an answer: {refused}");
    };
    assert_eq!(response.status(), 429);
    assert!(response.headers().contains_key("retry-after"));
}

#[tokio::test]
async fn an_address_has_so_many_connections_sockets_among_them() {
    let api = Api::new().await;
    let limits = Limits {
        connections_per_address_max: 2,
        counts_loopback: true,
        ..Limits::default()
    };
    let running = start(&api, limits, PATIENCE);
    let socket = open(&running).await.expect("is upgraded");
    let mut second = running.connect().await;
    assert!(is_sound(&mut second).await);
    // Told before it has asked anything.
    let mut third = running.connect().await;
    let refused = rest(&mut third).await;
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    for part in [
        "application/problem+json",
        "retry-after: ",
        "\"code\":\"overloaded\"",
    ] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
    drop(socket);
    until("the socket's place is free", || async {
        let mut stream = running.connect().await;
        is_sound(&mut stream).await.then_some(())
    })
    .await;
}
