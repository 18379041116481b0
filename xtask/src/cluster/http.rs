//! The two HTTP requests that starting a cluster needs, with the standard library only.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const ANSWER_MAX: Duration = Duration::from_secs(5);

/// The status of a `GET`; `None` if nothing sensible answers.
pub fn get(address: &str, path: &str) -> Option<u16> {
    send(address, "GET", path, "")
}

/// The status of a `PUT` of JSON.
pub fn put(address: &str, path: &str, body: &str) -> Option<u16> {
    send(address, "PUT", path, body)
}

fn send(address: &str, method: &str, path: &str, body: &str) -> Option<u16> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(ANSWER_MAX)).ok()?;
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).ok()?;
    // "HTTP/1.1 200": twelve bytes.
    let mut head = [0; 12];
    stream.read_exact(&mut head).ok()?;
    std::str::from_utf8(&head[9..]).ok()?.parse().ok()
}
