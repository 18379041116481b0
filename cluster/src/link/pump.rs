//! Makes the frames that a dialler sends, at the moment when HTTP/2 writes them. Leaves the queues to
//! [`super::peer_connection`].

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_stream::Stream;

use crate::membership::{Incarnation, NodeId};

use super::budget::Weighed;
use super::error::LinkError;
use super::peer::Peer;
use super::waiting::Waiting;
use super::wire::{Body, Call, Frame, Origin, Relay};

/// A call that waits to be written.
#[derive(Debug)]
pub(super) struct Queued {
    pub id: u64,
    pub request: Request,
    pub deadline: Instant,
    pub reply: oneshot::Sender<Result<Bytes, LinkError>>,
}

/// What the peer should do with a call.
#[derive(Debug)]
pub(super) enum Request {
    /// Answer it.
    Call {
        payload: Bytes,
        /// The caller, if it is not this replica.
        origin: Option<(NodeId, Incarnation)>,
    },
    /// Pass it on to `to`.
    Relay { payload: Bytes, to: Peer },
}

impl Request {
    pub fn payload(&self) -> &Bytes {
        match self {
            Self::Call { payload, .. } | Self::Relay { payload, .. } => payload,
        }
    }
}

/// The outgoing half of a connection. HTTP/2 pulls frames from it, so no frame leaves the queues before
/// there is room on the wire.
#[derive(Debug)]
pub(super) struct Pump {
    control: mpsc::Receiver<Frame>,
    calls: mpsc::Receiver<Queued>,
    messages: mpsc::Receiver<Weighed>,
    waiting: Arc<Waiting>,
    /// Calls and messages take turns, so that neither can keep the other off the wire.
    messages_first: bool,
}

impl Pump {
    pub fn new(
        control: mpsc::Receiver<Frame>,
        calls: mpsc::Receiver<Queued>,
        messages: mpsc::Receiver<Weighed>,
        waiting: Arc<Waiting>,
    ) -> Self {
        Self {
            control,
            calls,
            messages,
            waiting,
            messages_first: false,
        }
    }

    /// The next call whose caller still waits.
    fn poll_call(&mut self, cx: &mut Context<'_>) -> Poll<Option<Frame>> {
        while let Some(queued) = std::task::ready!(self.calls.poll_recv(cx)) {
            let left = queued
                .deadline
                .saturating_duration_since(Instant::now())
                .as_micros();
            if left == 0 {
                // The caller may have gone already.
                drop(queued.reply.send(Err(LinkError::TimedOut)));
            } else if self.waiting.enter(queued.id, queued.reply) {
                let left_us = u64::try_from(left).unwrap_or(u64::MAX);
                return Poll::Ready(Some(queued.request.into_frame(queued.id, left_us)));
            }
        }
        Poll::Ready(None)
    }

    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Frame>> {
        self.messages
            .poll_recv(cx)
            .map(|weighed| weighed.map(|weighed| Frame::of(Body::Message(weighed.message))))
    }
}

impl Stream for Pump {
    type Item = Frame;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Frame>> {
        let this = &mut *self;
        match this.control.poll_recv(cx) {
            Poll::Ready(Some(frame)) => return Poll::Ready(Some(frame)),
            Poll::Ready(None) => {
                this.calls.close();
                this.messages.close();
            }
            Poll::Pending => {}
        }
        this.messages_first = !this.messages_first;
        let (first, second) = if this.messages_first {
            let first = this.poll_message(cx);
            if let Poll::Ready(Some(_)) = first {
                return first;
            }
            (first, this.poll_call(cx))
        } else {
            let first = this.poll_call(cx);
            if let Poll::Ready(Some(_)) = first {
                return first;
            }
            (first, this.poll_message(cx))
        };
        match (first, second) {
            (_, Poll::Ready(Some(frame))) => Poll::Ready(Some(frame)),
            (Poll::Ready(_), Poll::Ready(_)) => Poll::Ready(None),
            _ => Poll::Pending,
        }
    }
}

impl Request {
    fn into_frame(self, id: u64, left_us: u64) -> Frame {
        let body = match self {
            Self::Call { payload, origin } => Body::Call(Call {
                left_us,
                payload,
                origin: origin.map(|(node, incarnation)| Origin {
                    node: node.0,
                    incarnation: incarnation.0,
                }),
            }),
            Self::Relay { payload, to } => Body::Relay(Relay {
                left_us,
                payload,
                node: to.node.0,
                incarnation: to.incarnation.0,
                address: to.address,
            }),
        };
        Frame {
            id,
            body: Some(body),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio_stream::StreamExt as _;

    use super::super::budget::Budget;
    use super::*;

    #[tokio::test]
    async fn calls_and_messages_take_turns_and_closing_writes_what_is_queued() {
        let (open, control) = mpsc::channel(1);
        let (calls, queued_calls) = mpsc::channel(8);
        let (messages, queued_messages) = mpsc::channel(8);
        let waiting = Arc::new(Waiting::default());
        let pump = Pump::new(control, queued_calls, queued_messages, waiting);
        let budget = Budget::new(8);
        let mut replies = Vec::new();
        for id in 0..4 {
            let (reply, answer) = oneshot::channel();
            replies.push(answer);
            let queued = Queued {
                id,
                request: Request::own(Bytes::new()),
                deadline: Instant::now() + Duration::from_secs(10),
                reply,
            };
            assert!(calls.try_send(queued).is_ok());
            let message = budget.weigh(Bytes::new()).await.expect("left");
            assert!(messages.try_send(message).is_ok());
        }
        // Its caller has gone, so it is never written.
        drop(replies.remove(3));
        drop(open);
        let frames: Vec<Frame> = pump.collect().await;
        let kind = |frame: &Frame| match &frame.body {
            Some(Body::Call(_)) => 'c',
            Some(Body::Message(_)) => 'm',
            _ => '?',
        };
        let order: String = frames.iter().map(kind).collect();
        assert_eq!(order, "mcmcmcm");
        assert!(calls.is_closed() && messages.is_closed());
    }
}
