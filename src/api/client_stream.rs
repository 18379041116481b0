//! A connection's stream with two time limits for its peer: one for taking what is written, and one for
//! finishing a request's head once it has begun. Without them a client that asks and never reads, or never
//! finishes a head, would hold its connection permit for ever.

use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::opening::Opening;

/// Whose turn it is on a connection. An even number is the client's turn (a request's head is awaited), an
/// odd one the server's (a request is being answered). It is a counter, so that a short turn isn't missed.
#[derive(Clone, Debug, Default)]
pub struct RequestPhase(Arc<AtomicU64>);

impl RequestPhase {
    /// A request's head has arrived: the server's turn begins.
    pub fn answer(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// The answer has begun: everything read from now on belongs to the next head.
    pub fn ask(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A stream that fails with `TimedOut` when its peer is too slow.
#[derive(Debug)]
pub struct ClientStream<S> {
    stream: S,
    /// What was read before, and is read again first.
    opening: Opening,
    write_limit: Duration,
    /// The timer that runs while a write is blocked. Most connections never have one.
    writing: Option<Pin<Box<Sleep>>>,
    head_limit: Duration,
    turns: RequestPhase,
    /// The turn that `head` belongs to.
    turn: u64,
    head: Head,
}

/// How much of the next request's head has arrived.
#[derive(Debug)]
enum Head {
    /// Nothing has arrived.
    Awaited,
    /// Its first bytes came at this moment, and no read has had to wait since.
    Begun(Instant),
    /// A read waits for the rest, until the limit.
    Late(Pin<Box<Sleep>>),
    /// The head wasn't complete in time.
    TimedOut,
}

impl<S> ClientStream<S> {
    /// Wraps `stream`. Its peer may leave a write blocked for `write_limit`, and has `head_limit` for each
    /// head, from the head's first byte on.
    pub fn new(
        stream: S,
        write_limit: Duration,
        head_limit: Duration,
        turns: RequestPhase,
    ) -> Self {
        Self {
            stream,
            opening: Opening::default(),
            write_limit,
            writing: None,
            head_limit,
            turn: turns.now(),
            turns,
            head: Head::Awaited,
        }
    }

    /// With the bytes that were read of it before.
    #[must_use]
    pub(super) fn after(mut self, opening: Opening) -> Self {
        if let Some(since) = opening.since() {
            self.head = Head::Begun(since);
        }
        self.opening = opening;
        self
    }

    /// The stream itself.
    pub fn into_inner(self) -> S {
        self.stream
    }

    /// Whether it failed because a head took too long.
    pub fn is_head_timed_out(&self) -> bool {
        matches!(self.head, Head::TimedOut)
    }

    /// Passes on the outcome of an attempt to write. Progress stops the timer; a blocked write starts it, or
    /// fails once it has run out.
    fn watch<T>(&mut self, cx: &mut Context<'_>, written: Poll<Result<T>>) -> Poll<Result<T>> {
        if written.is_ready() {
            self.writing = None;
            return written;
        }
        let limit = self.write_limit;
        let writing = self.writing.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(writing.as_mut().poll(cx));
        Poll::Ready(Err(Error::new(
            ErrorKind::TimedOut,
            "the peer takes nothing",
        )))
    }

    /// Called when there is nothing to read: an error if a head has begun and its time is up.
    fn watch_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if let Head::Begun(since) = self.head {
            // The timer is made only for a head that comes in pieces, and most don't.
            self.head = Head::Late(Box::pin(sleep_until(since + self.head_limit)));
        }
        let Head::Late(limit) = &mut self.head else {
            return Poll::Pending;
        };
        ready!(limit.as_mut().poll(cx));
        self.head = Head::TimedOut;
        Poll::Ready(Err(Error::new(
            ErrorKind::TimedOut,
            "the head of the request takes too long",
        )))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ClientStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let filled = buffer.filled().len();
        let read = if self.opening.read_again(buffer) {
            Poll::Ready(Ok(()))
        } else {
            Pin::new(&mut self.stream).poll_read(cx, buffer)
        };
        let turn = self.turns.now();
        if turn != self.turn {
            self.turn = turn;
            self.head = Head::Awaited;
        }
        if turn % 2 == 1 {
            return read;
        }
        if read.is_pending() {
            return self.watch_head(cx);
        }
        if buffer.filled().len() > filled && matches!(self.head, Head::Awaited) {
            self.head = Head::Begun(Instant::now());
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ClientStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.watch(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.watch(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
