//! The refusal of a connection whose address has as many as it may.

use std::time::Duration;

use axum::response::IntoResponse as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::linger::linger;
use super::problem::Problem;
use super::problem_code::Code;
use crate::telemetry::names;

/// Counts one.
pub fn counted() {
    metrics::counter!(names::BOUND_REACHED, "bound" => "connections_per_address_max").increment(1);
}

/// Says why, before the client has asked anything, and closes. A client that speaks HTTP/2 from the start sees the
/// connection end.
pub async fn refuse(mut stream: TcpStream) {
    let problem = Problem::new(
        Code::Overloaded,
        "too many connections of this address are open",
    );
    let problem = problem.retry_after(Duration::from_secs(1)).at("/");
    let body = serde_json::to_string(problem.body()).unwrap_or_default();
    let response = problem.into_response();
    let mut head = String::from("HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n");
    for (name, value) in response.headers() {
        let value = value.to_str().unwrap_or_default();
        head.extend([name.as_str(), ": ", value, "\r\n"]);
    }
    let answer = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
    // The answer fits the socket's buffer, and a client that has gone needs none.
    let _ = stream.write_all(answer.as_bytes()).await;
    linger(&mut stream).await;
}
