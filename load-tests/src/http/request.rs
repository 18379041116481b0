//! The bytes of a request. Nothing is escaped or checked: every path and body
//! comes from this crate.

use std::net::SocketAddr;

/// `GET path`, keep-alive.
pub fn get(host: SocketAddr, path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n").into_bytes()
}

/// `method path` with a JSON body, keep-alive.
pub fn with_json(method: &str, host: SocketAddr, path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}
