//! The dialler's side of one authenticated connection: its queues, and the calls that wait for answers on
//! it. Leaves writing frames to [`super::pump`].

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::budget::{Budget, Weighed};
use super::error::{LinkError, Trouble};
use super::peer::Peer;
use super::pump::{Pump, Queued, Request};
use super::settings::LinkSettings;
use super::waiting::Waiting;
use super::wire::{Body, FailureKind, Frame};

/// Callers hold it while the link is up. It ends with its connection; the next connection has queues of
/// its own.
#[derive(Debug)]
pub(super) struct PeerConnection {
    calls: mpsc::Sender<Queued>,
    messages: mpsc::Sender<Weighed>,
    calls_budget: Budget,
    messages_budget: Budget,
    waiting: Arc<Waiting>,
    ids: AtomicU64,
    in_flight: AtomicUsize,
    calls_max: usize,
    message_bytes_max: usize,
    trouble: OnceLock<Trouble>,
}

impl PeerConnection {
    /// Returns the connection and the pump that writes its frames. Frames from `control` go before all
    /// others. When its senders are gone, the queued frames are written and the stream is closed.
    pub fn new(control: mpsc::Receiver<Frame>, settings: &LinkSettings) -> (Arc<Self>, Pump) {
        let (calls, queued_calls) = mpsc::channel(settings.calls_max);
        let (messages, queued_messages) = mpsc::channel(settings.messages_max);
        let waiting = Arc::new(Waiting::default());
        let pump = Pump::new(control, queued_calls, queued_messages, Arc::clone(&waiting));
        let session = Self {
            calls,
            messages,
            calls_budget: Budget::new(settings.calls_bytes_max),
            messages_budget: Budget::new(settings.messages_bytes_max),
            waiting,
            ids: AtomicU64::new(1),
            in_flight: AtomicUsize::new(0),
            calls_max: settings.calls_max,
            message_bytes_max: settings.message_bytes_max,
            trouble: OnceLock::new(),
        };
        (Arc::new(session), pump)
    }

    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Sends the request and waits for its answer.
    pub async fn call(&self, request: Request, deadline: Instant) -> Result<Bytes, LinkError> {
        self.check_size(request.payload())?;
        let bytes = request.payload().len();
        let _taken = self.calls_budget.try_take(bytes).ok_or(LinkError::Full)?;
        let (reply, answer) = oneshot::channel();
        let mut ticket = PendingCall::take(self, answer).ok_or(LinkError::Full)?;
        let queued = Queued {
            id: ticket.id,
            request,
            deadline,
            reply,
        };
        self.calls.try_send(queued).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => LinkError::Full,
            mpsc::error::TrySendError::Closed(_) => LinkError::NotSent(self.trouble()),
        })?;
        let outcome = tokio::time::timeout_at(deadline, &mut ticket.answer).await;
        ticket.answered = outcome.is_ok();
        match outcome {
            Ok(Ok(result)) => result,
            // The reply was dropped without an answer, so the call was still in the queue.
            Ok(Err(_)) => Err(LinkError::NotSent(self.trouble())),
            Err(_) => Err(LinkError::TimedOut),
        }
    }

    /// Queues a one-way message, waiting for room.
    pub async fn send(&self, message: Bytes) -> Result<(), LinkError> {
        self.check_size(&message)?;
        let gone = || LinkError::NotSent(self.trouble());
        let weighed = self.messages_budget.weigh(message).await;
        let weighed = weighed.ok_or_else(gone)?;
        self.messages.send(weighed).await.map_err(|_| gone())
    }

    /// Hands the answer in `frame` to its caller. Returns the answer's size in bytes.
    pub fn answered(&self, frame: Frame) -> usize {
        let (result, bytes) = match frame.body {
            Some(Body::Answer(payload)) => {
                let bytes = payload.len();
                (Ok(payload), bytes)
            }
            Some(Body::Failure(failure)) => (Err(self.failure(failure.kind())), 0),
            _ => return 0,
        };
        // After the deadline nobody waits for the answer.
        if let Some(reply) = self.waiting.take(frame.id) {
            drop(reply.send(result));
        }
        bytes
    }

    /// Fails the written calls as lost. The queued ones become `NotSent` as soon as the pump is dropped.
    pub fn end(&self, trouble: &Trouble) {
        // The first trouble is the cause of those that follow.
        drop(self.trouble.set(trouble.clone()));
        for (_, reply) in self.waiting.end() {
            drop(reply.send(Err(LinkError::Lost(trouble.clone()))));
        }
    }

    fn failure(&self, kind: FailureKind) -> LinkError {
        match kind {
            FailureKind::Failed => LinkError::Lost(Trouble::ServiceFailed),
            FailureKind::TimedOut => LinkError::TimedOut,
            FailureKind::Unknown => LinkError::NotSent(Trouble::Unknown),
            FailureKind::TooLarge => LinkError::Lost(Trouble::TooLarge {
                bytes: 0,
                bytes_max: self.message_bytes_max,
            }),
            FailureKind::NotRelayed => LinkError::NotSent(Trouble::Relay),
            FailureKind::RelayLost => LinkError::Lost(Trouble::Relay),
            FailureKind::RelayFull => LinkError::Full,
        }
    }

    fn check_size(&self, message: &Bytes) -> Result<(), LinkError> {
        if message.len() > self.message_bytes_max {
            return Err(LinkError::NotSent(Trouble::TooLarge {
                bytes: message.len(),
                bytes_max: self.message_bytes_max,
            }));
        }
        Ok(())
    }

    fn trouble(&self) -> Trouble {
        self.trouble.get().cloned().unwrap_or(Trouble::Closed)
    }
}

/// The permit of one call in flight. Dropped before the answer, it removes the call from the waiting
/// ones.
struct PendingCall<'a> {
    session: &'a PeerConnection,
    id: u64,
    answer: oneshot::Receiver<Result<Bytes, LinkError>>,
    answered: bool,
}

impl<'a> PendingCall<'a> {
    fn take(
        session: &'a PeerConnection,
        answer: oneshot::Receiver<Result<Bytes, LinkError>>,
    ) -> Option<Self> {
        let before = session.in_flight.fetch_add(1, Ordering::Relaxed);
        let ticket = Self {
            session,
            id: session.ids.fetch_add(1, Ordering::Relaxed),
            answer,
            answered: false,
        };
        if before >= session.calls_max {
            return None;
        }
        Some(ticket)
    }
}

impl Drop for PendingCall<'_> {
    fn drop(&mut self) {
        self.session.in_flight.fetch_sub(1, Ordering::Relaxed);
        if !self.answered {
            // Closed first, so that the pump can't enter the call after it was removed here.
            self.answer.close();
            drop(self.session.waiting.take(self.id));
        }
    }
}

impl Request {
    /// A call in this replica's own name.
    pub fn own(payload: Bytes) -> Self {
        Self::Call {
            payload,
            origin: None,
        }
    }

    /// A call to be passed on to `to`.
    pub fn relayed(payload: Bytes, to: &Peer) -> Self {
        Self::Relay {
            payload,
            to: to.clone(),
        }
    }
}
