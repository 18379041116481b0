//! The first bytes of a connection, read to tell which HTTP the client speaks. Whoever serves it reads them
//! again.

use std::io::{Error, ErrorKind, Result};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, ReadBuf};
use tokio::time::{Instant, timeout, timeout_at};

/// What a client sends first that knows already that this server speaks HTTP/2 (RFC 9113, 3.4). No request of
/// HTTP/1.1 begins so.
const PREFACE: [u8; 24] = *b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1, HTTP/1.0, or no HTTP at all.
    Http1,
    /// HTTP/2.
    Http2,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Opening {
    bytes: [u8; PREFACE.len()],
    /// How many have arrived.
    arrived: usize,
    /// How many were read again.
    again: usize,
    /// When the first arrived.
    since: Option<Instant>,
}

impl Opening {
    /// Reads until it is clear what the client speaks. Fails with `TimedOut` if nothing comes for `idle_limit`,
    /// or if it isn't clear `head_limit` after the first byte.
    pub async fn read(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        idle_limit: Duration,
        head_limit: Duration,
    ) -> Result<Protocol> {
        loop {
            let free = &mut self.bytes[self.arrived..];
            let read = match self.since {
                None => timeout(idle_limit, stream.read(free)).await,
                Some(since) => timeout_at(since + head_limit, stream.read(free)).await,
            };
            let count = read.map_err(|_| Error::from(ErrorKind::TimedOut))??;
            self.arrived += count;
            self.since.get_or_insert_with(Instant::now);
            if count == 0 || !PREFACE.starts_with(self.arrived()) {
                return Ok(Protocol::Http1);
            }
            if self.arrived == PREFACE.len() {
                return Ok(Protocol::Http2);
            }
        }
    }

    /// What has arrived.
    pub fn arrived(&self) -> &[u8] {
        &self.bytes[..self.arrived]
    }

    /// When the first byte that wasn't read again has arrived; `None` if all were.
    pub fn since(&self) -> Option<Instant> {
        self.since.filter(|_| self.again < self.arrived)
    }

    /// Reads again what fits into `buffer`; whether there was anything left.
    pub fn read_again(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        let left = &self.bytes[self.again..self.arrived];
        let count = left.len().min(buffer.remaining());
        buffer.put_slice(&left[..count]);
        self.again += count;
        count > 0
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(1);

    /// What these pieces open, each of which is read alone, and what has arrived by then.
    async fn opened(pieces: &[&[u8]]) -> (Result<Protocol>, Vec<u8>) {
        let (mut client, mut server) = tokio::io::duplex(64);
        let mut opening = Opening::default();
        let read = opening.read(&mut server, LIMIT, LIMIT);
        let (protocol, _client) = tokio::join!(read, async {
            for piece in pieces {
                client.write_all(piece).await.expect("sent");
                tokio::task::yield_now().await;
            }
            client
        });
        (protocol, opening.arrived().to_vec())
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_whole_preface_is_http_2() {
        let (protocol, _) = opened(&[&PREFACE]).await;
        assert_eq!(protocol.expect("clear"), Protocol::Http2);
        let bytes: Vec<&[u8]> = PREFACE.chunks(1).collect();
        let (protocol, arrived) = opened(&bytes).await;
        assert_eq!(protocol.expect("clear"), Protocol::Http2);
        assert_eq!(arrived, PREFACE);
        for other in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"POST / HTTP/1.1\r\n",
            b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
            b"\0",
        ] {
            let bytes: Vec<&[u8]> = other.chunks(1).collect();
            let (protocol, arrived) = opened(&bytes).await;
            assert_eq!(protocol.expect("clear"), Protocol::Http1);
            assert!(other.starts_with(&arrived) && !arrived.is_empty());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_and_a_part_are_waited_for_so_long() {
        let begun = Instant::now();
        let (waited, arrived) = opened(&[]).await;
        assert_eq!(waited.expect_err("late").kind(), ErrorKind::TimedOut);
        assert_eq!((arrived.len(), begun.elapsed()), (0, LIMIT));
        let (waited, arrived) = opened(&[b"P", b"R"]).await;
        assert_eq!(waited.expect_err("late").kind(), ErrorKind::TimedOut);
        assert_eq!(arrived, b"PR");
    }

    #[tokio::test]
    async fn what_has_arrived_is_read_again() {
        let (mut client, mut server) = tokio::io::duplex(64);
        client.write_all(b"PUT").await.expect("sent");
        let mut opening = Opening::default();
        let protocol = opening.read(&mut server, LIMIT, LIMIT).await;
        assert_eq!(protocol.expect("clear"), Protocol::Http1);
        assert!(opening.since().is_some());
        let mut again = Vec::new();
        loop {
            let mut bytes = [0; 2];
            let mut buffer = ReadBuf::new(&mut bytes);
            if !opening.read_again(&mut buffer) {
                break;
            }
            again.extend_from_slice(buffer.filled());
        }
        assert_eq!(again, b"PUT");
        assert_eq!(opening.since(), None);
    }
}
