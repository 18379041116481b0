//! How soon orders are placed again once PostgreSQL, killed for longer than a lease, accepts connections,
//! and what the clients see of it.

use std::time::Duration;

use reqwest::Method;
use sqlx::{Connection as _, PgConnection};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};
use uuid::Uuid;
use xtask::servers::PostgresLaunch;

use crate::cluster::processes::fleet::{Fleet, Plan};
use crate::support::bodies::order;
use crate::support::client::Client;
use crate::support::deployment::{Deployment, Options};
use crate::support::own_servers::Own;
use crate::support::stream::EventStream;
use crate::support::wait::until;

/// How often PostgreSQL is killed. `TRACKOPS_TEST_RECOVERIES=20`, on a machine that does nothing beside,
/// gives the figure that is aimed at: 1 s.
const TRIES: usize = 5;
/// What fails the test, on a machine that compiles beside it.
const LIMIT: Duration = Duration::from_secs(4);
/// Longer than a lease.
const AWAY: Duration = Duration::from_secs(4);
/// The server's own limit for a command, and some.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Connections that ask for nothing meanwhile.
const IDLE: usize = 10;

fn tries() -> usize {
    let wanted = std::env::var("TRACKOPS_TEST_RECOVERIES").ok();
    wanted.and_then(|tries| tries.parse().ok()).unwrap_or(TRIES)
}

/// A connection of a client that reads what it is sent and asks for nothing more.
struct IdleConnection(TcpStream);

impl IdleConnection {
    async fn open(client: &Client) -> Self {
        let address = client.to.order.trim_start_matches("http://");
        let stream = TcpStream::connect(address).await.expect("a connection");
        let mut idle = Self(stream);
        assert!(idle.answers().await, "closed at once");
        idle
    }

    /// Whether it still is a connection on which questions are answered.
    async fn answers(&mut self) -> bool {
        ask(&mut self.0).await.is_some()
    }
}

/// Asks for what every replica has, and takes in the head and the body of the answer.
async fn ask(stream: &mut TcpStream) -> Option<()> {
    let request = b"GET /api/v1/orders/x HTTP/1.1\r\nhost: x\r\n\r\n";
    stream.write_all(request).await.ok()?;
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    while !seen.ends_with(b"}") {
        let count = stream.read(&mut buffer).await.ok().filter(|n| *n > 0)?;
        seen.extend_from_slice(&buffer[..count]);
    }
    Some(())
}

/// Places an order every few milliseconds until one is; when that was.
async fn until_placed(client: Client) -> (Instant, Uuid) {
    let url = format!("{}/api/v1/orders", client.to.order);
    loop {
        let asked = Instant::now();
        let answer = client.send(Method::POST, &url, &[], Some(&order())).await;
        let answer = answer.expect("a connection that was open is served on");
        let took = asked.elapsed();
        assert!(took < ANSWER_MAX, "answered after {took:?}: {answer:#?}");
        match answer.status {
            201 => return (Instant::now(), answer.id()),
            503 => assert!(!answer.header("retry-after").is_empty(), "{answer:#?}"),
            _ => panic!("{answer:#?}"),
        }
        // As often as a client would find the first moment.
        sleep(Duration::from_millis(5)).await;
    }
}

/// When PostgreSQL lets somebody in.
async fn until_accepted(url: String) -> Instant {
    while PgConnection::connect(&url).await.is_err() {
        // Another process can't signal us.
        sleep(Duration::from_millis(2)).await;
    }
    Instant::now()
}

/// Kills PostgreSQL, starts it again, and says how long after its first connection each of `clients`
/// placed an order.
async fn away_and_back(
    postgres: &mut Own<PostgresLaunch>,
    url: &str,
    clients: &[Client],
) -> Vec<Duration> {
    postgres.kill().await;
    // The lease has to run out by the database's clock.
    sleep(AWAY).await;
    let accepted = tokio::spawn(until_accepted(url.to_owned()));
    let placing = clients.iter().cloned().map(until_placed).map(tokio::spawn);
    let placing: Vec<_> = placing.collect();
    postgres.restart().await;
    let accepted = accepted.await.expect("no panic");
    let mut took = Vec::new();
    for placed in placing {
        let (at, _) = placed.await.expect("placed in the end");
        took.push(at.saturating_duration_since(accepted));
    }
    took
}

/// The next step, as a client takes it that is told to come again: an incarnation may be on its way.
async fn advance(client: &Client, order: Uuid) {
    until("the step is taken", || async {
        let answer = client.advance(order, "PREPARING", &[]).await;
        if answer.status == 503 {
            assert!(!answer.header("retry-after").is_empty(), "{answer:#?}");
            return None;
        }
        answer.expect(200);
        Some(())
    })
    .await;
}

/// Waits until the replica's lease has been found ended `times` times, and its next incarnation is ready.
/// Orders are placed before that too: until somebody takes a shard, its last owner's epoch still counts.
async fn came_back(deployment: &Deployment, times: usize) {
    until("the next incarnation is ready", || async {
        let log = deployment.order.log();
        let ended = log.matches("coming back as a new incarnation").count();
        let ready = log.matches("app::order: ready").count();
        (ended >= times && ready > times).then_some(())
    })
    .await;
}

fn judge(mut took: Vec<Duration>) {
    took.sort_unstable();
    let worst = took.last().copied().expect("tried");
    eprintln!("placed again after {took:?}");
    assert!(worst < LIMIT, "{took:?}");
}

#[tokio::test]
async fn one_replica_places_orders_as_soon_as_postgres_is_back() {
    let mut postgres = Own::<PostgresLaunch>::start().await;
    let deployment = Deployment::start(Options {
        postgres: Some(postgres.url()),
        ..Options::default()
    })
    .await;
    let client = &deployment.client;
    let watched = client.place(&order(), None).await.expect(201).id();
    client.reaches(watched, "CONFIRMED").await;
    let events = format!("{}/api/v1/orders/{watched}/events", client.to.order);
    let mut stream = EventStream::open(&events, None).await;
    let snapshot = stream.next().await.expect("a snapshot");
    assert_eq!(snapshot.id, "2", "{snapshot:?}");
    let mut idle = Vec::new();
    for _ in 0..IDLE {
        idle.push(IdleConnection::open(client).await);
    }

    let mut took = Vec::new();
    for lives in 1..=tries() {
        let clients = [client.clone()];
        took.extend(away_and_back(&mut postgres, &deployment.orders_url, &clients).await);
        came_back(&deployment, lives).await;
        for connection in &mut idle {
            assert!(connection.answers().await, "an idle connection was closed");
        }
    }
    // Whoever watched hears of what comes next on the stream that it has.
    advance(client, watched).await;
    let update = stream.next().await.expect("the stream goes on");
    assert_eq!((&*update.kind, &*update.id), ("update", "3"), "{update:?}");
    // And the saga goes on: the consumer is still there.
    let placed = client.place(&order(), None).await.expect(201).id();
    client.reaches(placed, "CONFIRMED").await;
    judge(took);
}

#[tokio::test]
async fn three_replicas_place_orders_as_soon_as_postgres_is_back() {
    let mut postgres = Own::<PostgresLaunch>::start().await;
    let mut plan = Plan::usual_lease();
    plan.options.postgres = Some(postgres.url());
    let fleet = Fleet::start(3, plan).await;
    let client = fleet.deployment.client.clone();
    let clients: Vec<Client> = (0..3).map(|n| client.of_order(&fleet.url(n))).collect();
    let url = fleet.deployment.orders_url.clone();
    // One order of each replica, each watched at another.
    let mut watched = Vec::new();
    for (number, client) in clients.iter().enumerate() {
        let id = client.place(&order(), None).await.expect(201).id();
        client.reaches(id, "CONFIRMED").await;
        let at = &clients[(number + 1) % 3].to.order;
        let events = format!("{at}/api/v1/orders/{id}/events");
        let mut stream = EventStream::open(&events, None).await;
        assert_eq!(stream.next().await.expect("a snapshot").id, "2");
        watched.push((id, stream));
    }

    let mut took = Vec::new();
    for _ in 0..tries() {
        took.extend(away_and_back(&mut postgres, &url, &clients).await);
    }
    fleet.balanced(3).await;
    for (id, stream) in &mut watched {
        advance(&client, *id).await;
        let update = stream.next().await.expect("the stream goes on");
        assert_eq!((&*update.kind, &*update.id), ("update", "3"), "{update:?}");
    }
    judge(took);
}
