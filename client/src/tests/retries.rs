//! What is tried again, how often, and with which key.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use uuid::Uuid;

use super::server::{Server, ok, problem, view};
use crate::{Client, Error, RetryPolicy, WriteOptions};

/// Many attempts, short pauses.
fn quick() -> RetryPolicy {
    RetryPolicy {
        attempts_max: 3,
        time_max: Duration::from_secs(20),
        pause_first: Duration::from_millis(1),
        pause_max: Duration::from_millis(2),
    }
}

fn client(url: &str, policy: RetryPolicy) -> Client {
    let builder = Client::builder(url).retry(policy);
    builder.build().expect("a client")
}

async fn cancel(client: &Client, options: WriteOptions) -> Result<u32, Error> {
    let cancelled = client.cancel(Uuid::nil(), None, options).await;
    cancelled.map(|answer| answer.value.version)
}

#[tokio::test]
async fn a_busy_server_is_asked_again_under_the_same_key() {
    let server = Server::start([
        problem(503, "overloaded", Some(0)),
        (502, Vec::new(), "<html>".into()),
        ok(&view("CANCELLED", 2)),
    ])
    .await;
    let client = client(&server.url, quick());
    let cancelled = cancel(&client, WriteOptions::new()).await;
    assert_eq!(cancelled, Ok(2));
    let keys: Vec<_> = server.sent().into_iter().map(|sent| sent.key).collect();
    assert!(keys[0].is_some());
    assert_eq!(keys, vec![keys[0].clone(); 3]);
}

#[tokio::test]
async fn the_server_s_pause_is_kept_and_attempts_end() {
    let busy = || problem(503, "unavailable", Some(1));
    let server = Server::start([busy(), busy()]).await;
    let policy = RetryPolicy {
        attempts_max: 2,
        ..quick()
    };
    let began = Instant::now();
    let error = cancel(&client(&server.url, policy), WriteOptions::new()).await;
    let problem = error.expect_err("it stays busy");
    let problem = problem.problem().expect("a problem").clone();
    assert_eq!(problem.retry_after_seconds, Some(1));
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!(server.sent().len(), 2);
}

#[tokio::test]
async fn a_pause_beyond_the_time_is_not_waited_for() {
    let server = Server::start([problem(503, "order-quarantined", Some(30))]).await;
    let began = Instant::now();
    let error = cancel(&client(&server.url, quick()), WriteOptions::new()).await;
    assert_eq!(error.expect_err("quarantined").status(), Some(503));
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn without_a_key_only_what_was_not_done_is_repeated() {
    let server = Server::start([
        problem(429, "too-many-requests", None),
        problem(503, "unavailable", Some(0)),
    ])
    .await;
    let client = client(&server.url, quick());
    let error = cancel(&client, WriteOptions::unkeyed()).await;
    assert_eq!(error.expect_err("unknown outcome").status(), Some(503));
    assert_eq!(server.sent().len(), 2);
}

#[tokio::test]
async fn a_refusal_and_no_policy_are_one_attempt() {
    let server = Server::start([
        problem(409, "illegal-step", None),
        problem(503, "unavailable", Some(0)),
    ])
    .await;
    let error = cancel(&client(&server.url, quick()), WriteOptions::new()).await;
    assert_eq!(error.expect_err("refused").status(), Some(409));
    let once = client(&server.url, RetryPolicy::none());
    let error = cancel(&once, WriteOptions::new()).await;
    assert_eq!(error.expect_err("busy").status(), Some(503));
    assert_eq!(server.sent().len(), 2);
}

/// A server that closes so many connections after a request came, and then answers.
async fn losing(lost: usize) -> (String, tokio::task::JoinHandle<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let serving = tokio::spawn(async move {
        let mut requests = 0;
        loop {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut request = Vec::new();
            while !request.ends_with(b"{}") {
                stream.read_buf(&mut request).await.expect("a request");
            }
            requests += 1;
            if requests > lost {
                let body = view("CANCELLED", 2).to_string();
                let length = body.len();
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
                let answer = head + &body;
                stream.write_all(answer.as_bytes()).await.expect("sent");
                return requests;
            }
        }
    });
    (url, serving)
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_with_a_key_only() {
    let (url, serving) = losing(2).await;
    let cancelled = cancel(&client(&url, quick()), WriteOptions::new()).await;
    assert_eq!(cancelled, Ok(2));
    assert_eq!(serving.await.expect("it ends"), 3);

    let (url, serving) = losing(1).await;
    let error = cancel(&client(&url, quick()), WriteOptions::unkeyed()).await;
    let error = error.expect_err("the answer is lost");
    assert!(
        matches!(error, Error::NoAnswer { was_sent: true, .. }),
        "{error:?}"
    );
    serving.abort();
}

#[tokio::test]
async fn a_server_that_comes_back_is_found() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let url = format!("http://u:hunter2@{address}");
    let once = client(&url, RetryPolicy::none());
    let error = cancel(&once, WriteOptions::unkeyed()).await;
    let expected = Error::NoAnswer {
        url: format!("http://{address}"),
        was_sent: false,
        cause: "connection refused".into(),
    };
    assert_eq!(error, Err(expected), "and no password is shown");

    let patient = client(&url, RetryPolicy::standard());
    let asking = tokio::spawn(async move { cancel(&patient, WriteOptions::unkeyed()).await });
    let listener = loop {
        if let Ok(listener) = TcpListener::bind(address).await {
            break listener;
        }
        tokio::task::yield_now().await;
    };
    let server = Server::start([ok(&view("CANCELLED", 2))]).await;
    let router = server.router();
    tokio::spawn(async move { axum::serve(listener, router).await });
    assert_eq!(asking.await.expect("it ends"), Ok(2));
}

#[tokio::test]
async fn a_silent_server_is_left() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let builder = Client::builder(&url).retry(RetryPolicy::none());
    let client = builder.timeout(Duration::from_millis(500)).build();
    let error = client.expect("a client").order(Uuid::nil()).await;
    let error = error.expect_err("nobody answers").to_string();
    assert!(error.ends_with("no answer within 0.5 s"), "{error}");
    drop(listener);
}
