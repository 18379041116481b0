//! A tiny HTTP server for this crate's tests: it answers every request by a script.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What the server does with each request.
#[derive(Clone)]
pub enum Script {
    /// Sends the parts with a pause between them, and goes on.
    Parts { parts: Vec<Vec<u8>>, gap: Duration },
    /// Sends the parts and ends the connection.
    OnceThenClose { parts: Vec<Vec<u8>> },
    /// The status of the moment, without a body.
    Status(Arc<AtomicU16>),
    /// `201` after a pause, counting.
    Created {
        delay: Duration,
        count: Arc<AtomicU64>,
    },
}

/// Serves on a free port until the test's runtime ends.
pub async fn serve(script: Script) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer_all(stream, script.clone()));
        }
    });
    address
}

async fn answer_all(mut stream: TcpStream, script: Script) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    while read_request(&mut stream).await? {
        match &script {
            Script::Parts { parts, gap } => {
                for part in parts {
                    stream.write_all(part).await?;
                    tokio::time::sleep(*gap).await;
                }
            }
            Script::OnceThenClose { parts } => {
                for part in parts {
                    stream.write_all(part).await?;
                }
                return Ok(());
            }
            Script::Status(status) => {
                let status = status.load(Ordering::Relaxed);
                let answer = format!("HTTP/1.1 {status} Test\r\ncontent-length: 0\r\n\r\n");
                stream.write_all(answer.as_bytes()).await?;
            }
            Script::Created { delay, count } => {
                tokio::time::sleep(*delay).await;
                count.fetch_add(1, Ordering::Relaxed);
                stream
                    .write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\n{}")
                    .await?;
            }
        }
    }
    Ok(())
}

/// Reads one request whole; false at the end of the connection.
async fn read_request(stream: &mut TcpStream) -> std::io::Result<bool> {
    let mut buffer = Vec::new();
    loop {
        if stream.read_buf(&mut buffer).await? == 0 {
            return Ok(false);
        }
        let text = String::from_utf8_lossy(&buffer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |value| value.parse().expect("our own request"));
        if body.len() >= length {
            return Ok(true);
        }
    }
}
