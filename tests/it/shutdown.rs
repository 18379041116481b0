//! A graceful stop on SIGTERM with everything open that can be, and a second signal.

use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::scenarios::Socket;
use crate::support::bodies::order;
use crate::support::client::Client;
use crate::support::databases::connect;
use crate::support::deployment::{Deployment, Options};
use crate::support::dev::DevProcess;
use crate::support::role::Role;
use crate::support::stream::EventStream;
use crate::support::wait::until;

/// Opens a socket, a stream and an idle connection, sends SIGTERM under load, and sees everything end.
async fn stops_gracefully(client: &Client, role: &mut Role, limit: Duration) -> Vec<uuid::Uuid> {
    let id = client.place(&order(), None).await.expect(201).id();
    let mut socket = Socket::open(client).await;
    socket
        .send(&serde_json::json!({"type": "subscribe", "orderId": id}))
        .await;
    assert_eq!(socket.next().await["type"], "snapshot");
    let events = format!("{}/api/v1/orders/{id}/events", client.to.order);
    let mut stream = EventStream::open(&events, None).await;
    assert_eq!(stream.next().await.expect("a snapshot").kind, "snapshot");
    let address = client.to.order.trim_start_matches("http://");
    let mut idle = TcpStream::connect(address)
        .await
        .expect("an idle connection");

    let placing = tokio::spawn(place_until_refused(client.clone()));
    until("the load runs", || async {
        let list = client.get("/api/v1/orders?limit=20").await;
        (list.body["items"].as_array()?.len() >= 20).then_some(())
    })
    .await;
    let start = Instant::now();
    role.signal("TERM");
    let (close, rest, idle_end) = tokio::join!(
        async {
            loop {
                if let Message::Close(frame) = socket.frame().await {
                    break frame;
                }
            }
        },
        async { while stream.next().await.is_some() {} },
        async { idle.read(&mut [0; 16]).await }
    );
    let code = close.expect("a close frame says why").code;
    assert_eq!(code, CloseCode::Restart, "1012");
    assert_eq!(rest, ());
    assert!(
        !idle_end.is_ok_and(|read| read > 0),
        "an idle connection is told nothing"
    );
    let status = role.exit(limit).await.expect("it stops within its limit");
    assert!(status.success(), "{status}\n{}", role.log());
    eprintln!("stopped after {:?}", start.elapsed());
    placing.await.expect("every accepted command was answered")
}

/// Places orders until connections are refused; gives those that were answered 201.
async fn place_until_refused(client: Client) -> Vec<uuid::Uuid> {
    let mut placed = Vec::new();
    let url = format!("{}/api/v1/orders", client.to.order);
    let body = order();
    loop {
        match client
            .send(reqwest::Method::POST, &url, &[], Some(&body))
            .await
        {
            Ok(answer) if answer.status == 201 => placed.push(answer.id()),
            Ok(answer) => assert_eq!(answer.status, 503, "{answer:#?}"),
            Err(error) => {
                // Refused, or closed before the request was taken; never in the middle of an answer.
                assert!(error.is_request() || error.is_connect(), "{error:?}");
                return placed;
            }
        }
    }
}

#[tokio::test]
async fn sigterm_ends_the_order_role_in_good_order() {
    let mut deployment = Deployment::start(Options::default()).await;
    let client = deployment.client.clone();
    let limit = Duration::from_secs(12);
    let placed = stops_gracefully(&client, &mut deployment.order, limit).await;
    // Nothing has to wait for a lease that was given up.
    deployment.order.restart(None).await;
    assert!(!deployment.order.log().contains("is in use"));
    for id in placed {
        client.show(id).await.expect(200);
    }
    for role in [&mut deployment.inventory, &mut deployment.relay] {
        role.signal("TERM");
        let status = role.exit(limit).await.expect("it stops within its limit");
        assert!(status.success(), "{status}");
    }
}

#[tokio::test]
async fn sigterm_ends_dev_in_good_order_and_a_restart_has_every_order() {
    let mut dev = DevProcess::start(None).await;
    let client = dev.client.clone();
    let limit = Duration::from_secs(4);
    let placed = stops_gracefully(&client, &mut dev.role, limit).await;
    dev.role.restart(None).await;
    for id in placed {
        client.show(id).await.expect(200);
    }
    let last = client.place(&order(), None).await.expect(201).id();
    client.reaches(last, "CONFIRMED").await;
    dev.role.kill();
    dev.role.restart(None).await;
    assert_eq!(
        client.show(last).await.expect(200).text("status"),
        "CONFIRMED"
    );
}

/// A command that can't finish holds the stop up; the second signal doesn't wait for it.
#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let mut deployment = Deployment::start(Options::default()).await;
    let mut holder = connect(&deployment.orders_url).await;
    let lock = "BEGIN; LOCK TABLE orders IN EXCLUSIVE MODE";
    sqlx::raw_sql(lock)
        .execute(&mut holder)
        .await
        .expect("lock");
    let client = deployment.client.clone();
    let hanging = tokio::spawn(async move {
        let url = format!("{}/api/v1/orders", client.to.order);
        client
            .send(reqwest::Method::POST, &url, &[], Some(&order()))
            .await
    });
    until("the append hangs", || async {
        let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND database =
             (SELECT oid FROM pg_database WHERE datname = current_database())";
        let waiting = crate::support::databases::number(&deployment.orders_url, waiting).await;
        (waiting > 0).then_some(())
    })
    .await;
    deployment.order.signal("TERM");
    deployment.order.says("stopping").await;
    assert!(
        deployment.order.is_running(),
        "an accepted command is waited for"
    );
    deployment.order.signal("TERM");
    let status = deployment.order.exit(Duration::from_secs(1)).await;
    let status = status.expect("the second signal ends it at once");
    assert_eq!(status.code(), Some(143));
    let answer = hanging.await.expect("the client doesn't panic");
    assert!(answer.is_err(), "nothing was acknowledged: {answer:?}");
}
