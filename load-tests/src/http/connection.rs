//! One keep-alive connection with one request in flight.

use std::fmt;
use std::net::SocketAddr;

use anyhow::anyhow;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::response::{Head, find_header, parse_head};

/// Larger than any answer of the load: a read that doesn't fill the buffer lets
/// tokio clear the readiness, so that the next read waits without a system call.
const BUFFER_BYTES: usize = 8 * 1024;

/// A connection that opens itself when it is needed.
pub struct Connection {
    address: SocketAddr,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

/// An answer; it borrows the connection's buffer.
pub struct Response<'a> {
    /// The status code.
    pub status: u16,
    /// The body, all of it.
    pub body: &'a [u8],
    head: &'a [u8],
}

/// Why there is no answer.
#[derive(Debug)]
pub enum CallError {
    /// The request was not sent.
    NotSent(anyhow::Error),
    /// The request was sent, and whether it was carried out isn't known.
    Unknown(anyhow::Error),
}

impl Connection {
    /// A connection to `address`, not open yet.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            stream: None,
            buffer: Vec::with_capacity(BUFFER_BYTES),
        }
    }

    /// Opens the connection if it isn't.
    pub async fn open(&mut self) -> Result<(), CallError> {
        if self.stream.is_none() {
            self.stream = Some(dial(self.address).await?);
        }
        Ok(())
    }

    /// Sends `request` and waits for its answer. An error closes the connection;
    /// the next call opens another. Dropped in the middle, it must not be used again.
    pub async fn call(&mut self, request: &[u8]) -> Result<Response<'_>, CallError> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => dial(self.address).await?,
        };
        let head = exchange(&mut stream, &mut self.buffer, request)
            .await
            .map_err(CallError::Unknown)?;
        if !head.close {
            self.stream = Some(stream);
        }
        let (head_part, body) = self.buffer.split_at(head.bytes);
        Ok(Response {
            status: head.status,
            head: head_part,
            body,
        })
    }
}

impl Response<'_> {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        find_header(self.head, name)
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent(error) => write!(out, "not sent: {error:#}"),
            Self::Unknown(error) => write!(out, "outcome unknown: {error:#}"),
        }
    }
}

impl std::error::Error for CallError {}

async fn dial(address: SocketAddr) -> Result<TcpStream, CallError> {
    let not_sent = |error: std::io::Error| CallError::NotSent(error.into());
    let stream = TcpStream::connect(address).await.map_err(not_sent)?;
    stream.set_nodelay(true).map_err(not_sent)?;
    Ok(stream)
}

async fn exchange(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    request: &[u8],
) -> anyhow::Result<Head> {
    buffer.clear();
    stream.write_all(request).await?;
    loop {
        buffer.reserve(BUFFER_BYTES - buffer.len() % BUFFER_BYTES);
        if stream.read_buf(buffer).await? == 0 {
            return Err(anyhow!(
                "connection closed after {} bytes of the answer",
                buffer.len()
            ));
        }
        let Some(head) = parse_head(buffer)? else {
            continue;
        };
        let total_bytes = head.bytes + head.body_bytes;
        while buffer.len() < total_bytes {
            buffer.reserve(BUFFER_BYTES);
            if stream.read_buf(buffer).await? == 0 {
                return Err(anyhow!("connection closed within the body"));
            }
        }
        if buffer.len() > total_bytes {
            return Err(anyhow!("bytes after the end of the answer"));
        }
        return Ok(head);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::test_server::{Script, serve};

    #[tokio::test]
    async fn an_answer_split_over_many_reads_is_put_together() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\nhello world";
        let parts = answer.chunks(7).map(<[u8]>::to_vec).collect();
        let address = serve(Script::Parts {
            parts,
            gap: Duration::from_millis(3),
        })
        .await;
        let mut connection = Connection::new(address);
        for _ in 0..3 {
            let response = connection
                .call(&crate::http::get(address, "/"))
                .await
                .expect("an answer");
            assert_eq!((response.status, response.body), (200, &b"hello world"[..]));
            assert_eq!(response.header("Content-Length"), Some("11"));
        }
    }

    #[tokio::test]
    async fn chunked_and_cut_answers_fail_and_do_not_hang() {
        for answer in [
            &b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"[..],
            b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\nconnection: close\r\n\r\ncut",
            b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nxHTTP/1.1 200 OK\r\n",
        ] {
            let parts = vec![answer.to_vec()];
            let address = serve(Script::OnceThenClose { parts }).await;
            let mut connection = Connection::new(address);
            let request = crate::http::get(address, "/");
            let call = tokio::time::timeout(Duration::from_secs(5), connection.call(&request));
            assert!(matches!(
                call.await.expect("no hang"),
                Err(CallError::Unknown(_))
            ));
        }
    }

    #[tokio::test]
    async fn a_closed_connection_is_opened_again() {
        let parts = vec![
            b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_vec(),
        ];
        let address = serve(Script::OnceThenClose { parts }).await;
        let mut connection = Connection::new(address);
        for _ in 0..2 {
            let response = connection
                .call(&crate::http::get(address, "/"))
                .await
                .expect("an answer");
            assert_eq!(response.status, 201);
        }
    }
}
