//! An HTTP/1.1 client that retries only what any client may: a request on a connection that was used
//! before, closed without a byte of an answer (RFC 9112, 9.3.1), if a repeat does no harm. `trackops_client` retries
//! more, which would hide an answer that is lost.

use std::io;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A request whose repeat does no harm: a read, or one with an idempotency key.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ask<'a> {
    pub method: &'a str,
    pub path: &'a str,
    /// Its `Idempotency-Key`.
    pub key: Option<&'a str>,
    /// The version in its `If-Match`.
    pub if_match: Option<u32>,
    pub body: Option<&'a Value>,
}

impl<'a> Ask<'a> {
    /// A read.
    pub fn get(path: &'a str) -> Self {
        Self {
            method: "GET",
            path,
            ..Self::default()
        }
    }

    fn text(&self, host: &str) -> String {
        let body = self.body.map(Value::to_string).unwrap_or_default();
        let key = self.key.map(|key| format!("idempotency-key: {key}\r\n"));
        let tag = self
            .if_match
            .map(|version| format!("if-match: \"{version}\"\r\n"));
        format!(
            "{} {} HTTP/1.1\r\nhost: {host}\r\n{}{}content-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            self.method,
            self.path,
            key.unwrap_or_default(),
            tag.unwrap_or_default(),
            body.len()
        )
    }
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// The version in its `ETag`.
    pub version: Option<u32>,
    pub body: Value,
}

/// Keeps one connection open.
pub struct Http {
    address: String,
    idle: Option<TcpStream>,
}

/// Why there is no answer.
enum Failed {
    /// Closed before the first byte of an answer.
    Closed,
    Broken(io::Error),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

impl Http {
    /// Of `host:port`, not connected yet.
    pub fn new(address: &str) -> Self {
        Self {
            address: address.into(),
            idle: None,
        }
    }

    /// Sends it; an error says which request and why.
    pub async fn send(&mut self, ask: Ask<'_>) -> Result<Answer, String> {
        let request = ask.text(&self.address);
        let (method, path) = (ask.method, ask.path);
        if let Some(used) = self.idle.take() {
            match self.exchange(used, &request).await {
                Err(Failed::Closed) => {}
                Err(Failed::Broken(error)) => return Err(format!("{method} {path}: {error}")),
                Ok(answer) => return Ok(answer),
            }
        }
        let fresh = TcpStream::connect(&self.address).await;
        let fresh = fresh.map_err(|error| format!("{method} {path}: can't connect: {error}"))?;
        match self.exchange(fresh, &request).await {
            Ok(answer) => Ok(answer),
            Err(Failed::Closed) => Err(format!("{method} {path}: a new connection was closed")),
            Err(Failed::Broken(error)) => Err(format!("{method} {path}: {error}")),
        }
    }

    async fn exchange(&mut self, mut stream: TcpStream, request: &str) -> Result<Answer, Failed> {
        stream.set_nodelay(true)?;
        if stream.write_all(request.as_bytes()).await.is_err() {
            return Err(Failed::Closed);
        }
        let mut bytes = Vec::new();
        loop {
            match stream.read_buf(&mut bytes).await {
                Ok(0) | Err(_) if bytes.is_empty() => return Err(Failed::Closed),
                Ok(0) => return Err(Failed::Broken(io::ErrorKind::UnexpectedEof.into())),
                Ok(_) => {}
                Err(error) => return Err(error.into()),
            }
            let Some((head, rest)) = split(&bytes) else {
                continue;
            };
            let length = field(head, "content-length").and_then(|length| length.parse().ok());
            let length: usize = length.ok_or(io::ErrorKind::InvalidData)?;
            if rest.len() < length {
                continue;
            }
            let status = head.get(9..12).and_then(|status| status.parse().ok());
            let version = field(head, "etag").and_then(|tag| tag.trim_matches('"').parse().ok());
            let answer = Answer {
                status: status.ok_or(io::ErrorKind::InvalidData)?,
                version,
                body: serde_json::from_slice(rest).unwrap_or(Value::Null),
            };
            if field(head, "connection") != Some("close") {
                self.idle = Some(stream);
            }
            return Ok(answer);
        }
    }
}

impl From<io::ErrorKind> for Failed {
    fn from(kind: io::ErrorKind) -> Self {
        Self::Broken(kind.into())
    }
}

fn split(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some((std::str::from_utf8(&bytes[..end]).ok()?, &bytes[end + 4..]))
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = head.lines().filter_map(|line| line.split_once(": "));
    let (_, value) = fields.find(|(found, _)| found.eq_ignore_ascii_case(name))?;
    Some(value.trim())
}
