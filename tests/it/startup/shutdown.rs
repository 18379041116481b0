//! A graceful stop on SIGTERM with everything open that can be, with a database that hangs, and a second
//! signal.

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::scenarios::Socket;
use crate::support::bodies::order;
use crate::support::client::{Answer, Client};
use crate::support::databases::{connect, number};
use crate::support::deployment::{Deployment, Options};
use crate::support::dev::DevProcess;
use crate::support::environment::{free_port, fresh_folder, fresh_tag};
use crate::support::role::Role;
use crate::support::stream::EventStream;
use crate::support::wait::until;

/// What a stop may take as a process sees it from outside: its limit, and the time that the process takes
/// to be gone and we to notice.
const ROLE_LIMIT: Duration = Duration::from_millis(10_500);
const DEV_LIMIT: Duration = Duration::from_millis(2_500);

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
    let left = limit.saturating_sub(start.elapsed());
    let status = role.exit(left).await.expect("it stops within its limit");
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
    let placed = stops_gracefully(&client, &mut deployment.order, ROLE_LIMIT).await;
    // Nothing has to wait for a lease that was given up.
    deployment.order.restart(None).await;
    assert!(!deployment.order.log().contains("is in use"));
    for id in placed {
        client.show(id).await.expect(200);
    }
    for role in [&mut deployment.inventory, &mut deployment.relay] {
        role.signal("TERM");
        let status = role.exit(ROLE_LIMIT).await;
        let status = status.expect("it stops within its limit");
        assert!(status.success(), "{status}");
    }
}

#[tokio::test]
async fn sigterm_ends_dev_in_good_order_and_a_restart_has_every_order() {
    let mut dev = DevProcess::start(None).await;
    let client = dev.client.clone();
    let placed = stops_gracefully(&client, &mut dev.role, DEV_LIMIT).await;
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

/// A session that has `tables` to itself for as long as it lives: whoever asks for them waits.
async fn hold(url: &str, tables: &str) -> PgConnection {
    let mut session = connect(url).await;
    let lock = format!("BEGIN; LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE");
    sqlx::raw_sql(AssertSqlSafe(lock))
        .execute(&mut session)
        .await
        .expect("lock");
    session
}

/// Waits until a statement with `text` in it waits for a lock.
async fn until_one_waits(url: &str, text: &str) {
    let waiting = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
         AND wait_event_type = 'Lock' AND query LIKE '%{text}%'"
    );
    until(&format!("{text} hangs"), || async {
        (number(url, &waiting).await > 0).then_some(())
    })
    .await;
}

fn place_and_hang(client: &Client) -> JoinHandle<reqwest::Result<Answer>> {
    let client = client.clone();
    let url = format!("{}/api/v1/orders", client.to.order);
    tokio::spawn(async move {
        client
            .send(reqwest::Method::POST, &url, &[], Some(&order()))
            .await
    })
}

/// Nothing of either database answers any more: appends, stock, outboxes, leases, the word that a replica
/// leaves. Every role ends by itself, before its limit would end it.
#[tokio::test]
async fn databases_that_hang_do_not_hold_a_stop_up() {
    let mut deployment = Deployment::start(Options::default()).await;
    let outbox = "outbox, outbox_leases, outbox_holders";
    let stock = hold(&deployment.inventory_url, "reservations, items").await;
    let placed = deployment.client.place(&order(), None).await;
    let placed = placed.expect(201).id();
    until_one_waits(&deployment.inventory_url, "lock_stock").await;
    let replies = hold(&deployment.inventory_url, outbox).await;
    let tables = format!("orders, order_events, nodes, shards, {outbox}");
    let orders = hold(&deployment.orders_url, &tables).await;
    let hanging = place_and_hang(&deployment.client);
    until_one_waits(&deployment.orders_url, "append_orders").await;

    let start = Instant::now();
    for role in deployment.roles() {
        role.signal("TERM");
    }
    for role in deployment.roles() {
        let left = ROLE_LIMIT.saturating_sub(start.elapsed());
        let status = role.exit(left).await;
        let name = &role.launch.name;
        let status = status.unwrap_or_else(|| panic!("{name} runs after {ROLE_LIMIT:?}"));
        assert!(status.success(), "{name}: {status}\n{}", role.log());
        eprintln!("{name} stopped after {:?} at most", start.elapsed());
    }
    let answer = hanging.await.expect("the client doesn't panic");
    assert!(
        answer.as_ref().map_or(true, |answer| answer.status == 503),
        "nothing was acknowledged: {answer:?}"
    );
    drop((stock, replies, orders));
    for role in deployment.roles() {
        role.restart(None).await;
    }
    deployment.client.reaches(placed, "CONFIRMED").await;
}

/// The same of `dev`, where another process keeps the file's only place for a writer.
#[tokio::test]
async fn a_file_that_hangs_does_not_hold_a_stop_up() {
    let mut dev = DevProcess::start(None).await;
    let file = format!("sqlite://{}", dev.data.join("trackops.db").display());
    let mut writer = sqlx::SqliteConnection::connect(&file)
        .await
        .expect("open the file");
    sqlx::raw_sql("BEGIN IMMEDIATE")
        .execute(&mut writer)
        .await
        .expect("write");
    let hanging = place_and_hang(&dev.client);
    until("the order is on its way", || async {
        let shown = reqwest::get(format!("{}/metrics", dev.client.to.order)).await;
        let shown = shown.ok()?.text().await.ok()?;
        shown.contains("trackops_mailbox_depth 1").then_some(())
    })
    .await;
    dev.role.signal("TERM");
    let status = dev.role.exit(DEV_LIMIT).await;
    let status = status.expect("it stops within its limit");
    assert!(status.success(), "{status}\n{}", dev.role.log());
    let answer = hanging.await.expect("the client doesn't panic");
    assert!(answer.is_err(), "nothing was acknowledged: {answer:?}");
}

/// What nobody has thought of hangs: the limit ends the process, and the log says so.
#[tokio::test]
async fn a_stop_that_hangs_is_ended_at_its_limit() {
    let mut dev = DevProcess::start(Some("hang-at-stop")).await;
    dev.role.signal("TERM");
    let status = dev.role.exit(DEV_LIMIT).await;
    let status = status.expect("it stops within its limit");
    assert_eq!(status.code(), Some(1));
    let log = dev.role.log();
    assert!(log.contains("the stop took too long"), "{log}");
}

/// A command that can't finish holds the stop up; the second signal doesn't wait for it.
#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let mut deployment = Deployment::start(Options::default()).await;
    let _holder = hold(&deployment.orders_url, "orders").await;
    let hanging = place_and_hang(&deployment.client);
    until_one_waits(&deployment.orders_url, "append_orders").await;
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

/// `trackops dev 2>&1 | head` and the like: nobody reads the log any more.
#[tokio::test]
async fn a_log_that_nobody_reads_does_not_keep_it_from_stopping() {
    let listen = format!("127.0.0.1:{}", free_port());
    let data = fresh_folder(&fresh_tag()).join("data");
    let mut process = tokio::process::Command::new(env!("CARGO_BIN_EXE_trackops"))
        .args(["dev", "--listen", &listen, "--data-dir"])
        .arg(&data)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("start dev");
    let probe = format!("http://{listen}/readyz");
    until("dev is ready", || async {
        let answer = reqwest::get(&probe).await.ok()?;
        answer.status().is_success().then_some(())
    })
    .await;
    drop(process.stderr.take());
    let pid = process.id().expect("it runs");
    let kill = format!("kill -TERM {pid}");
    let mut shell = tokio::process::Command::new("sh");
    let sent = shell.args(["-c", &kill]).status().await;
    assert!(sent.expect("run a shell").success());
    let ended = tokio::time::timeout(Duration::from_secs(30), process.wait()).await;
    assert!(ended.expect("it ends").expect("its status").success());
    std::fs::remove_dir_all(&data).expect("clean up");
}
