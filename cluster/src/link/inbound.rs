//! Serves one accepted stream: the handshake, then calls concurrently and messages one by one. Leaves the
//! connection under it to [`super::acceptor`].

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::codec::Streaming;

use crate::membership::{Incarnation, NodeId};
use crate::names;

use super::budget::{Budget, Weighed};
use super::error::{LinkError, Refusal, Trouble};
use super::gate::Gate;
use super::local_end::LocalEnd;
use super::peer::Peer;
use super::pump::Request;
use super::registry::Registration;
use super::secret::LinkSecret;
use super::service::Service;
use super::settings::LinkSettings;
use super::wire::{Body, Call, FailureKind, Frame, Leaving, Refused, Relay};
use super::{handshake, metering};

/// The longest deadline that a peer can ask for, so that a call can't stay for longer.
const LEFT_MAX: Duration = Duration::from_secs(3600);

type From = Arc<(NodeId, Incarnation)>;

/// Serves the stream until it ends.
pub(super) async fn run(
    end: Arc<LocalEnd>,
    service: Arc<dyn Service>,
    mut frames: Streaming<Frame>,
    out: mpsc::Sender<Frame>,
    secret: LinkSecret,
    gate: Gate,
) {
    let _over = gate.over.clone().drop_guard();
    let entered = tokio::select! {
        biased;
        () = end.killed.cancelled() => return,
        entered = tokio::time::timeout(
            end.dialler.settings.connect_limit,
            enter(&end, &mut frames, &out, &secret),
        ) => entered.unwrap_or(Err(Trouble::ConnectTimedOut)),
    };
    let (from, place) = match entered {
        Ok(entered) => entered,
        Err(trouble) => return refuse(&trouble, &out).await,
    };
    gate.authenticated.cancel();
    let LinkSettings {
        messages_max,
        messages_bytes_max,
        calls_bytes_max,
        ..
    } = end.dialler.settings;
    let (messages, queue) = mpsc::channel(messages_max);
    let receiving = receive(
        Arc::clone(&end),
        Arc::clone(&service),
        Arc::clone(&from),
        place.clone(),
        queue,
    );
    end.tracker.spawn(receiving);
    let mut serving = Serving {
        served: metering::served(&from.0.0),
        end: Arc::clone(&end),
        service,
        from,
        out,
        messages,
        messages_budget: Budget::new(messages_bytes_max),
        calls: JoinSet::new(),
        calls_budget: Budget::new(calls_bytes_max),
    };
    let killed = end.killed.cancelled();
    tokio::select! {
        biased;
        () = killed => return,
        () = place.replaced.cancelled() => {}
        () = serving.read(&mut frames) => {}
    }
    serving.finish().await;
}

/// Runs the handshake and registers the peer.
async fn enter(
    end: &LocalEnd,
    frames: &mut Streaming<Frame>,
    out: &mpsc::Sender<Frame>,
    secret: &LinkSecret,
) -> Result<(From, Registration), Trouble> {
    let dialler = &end.dialler;
    let accepted = handshake::accept(frames, out, &dialler.me, secret, &dialler.settings).await?;
    if end.stopping.is_cancelled() {
        return Err(Refusal::Stopping.into());
    }
    let (place, before) = end.registry.enter(&accepted.from)?;
    let held = Held(end, &accepted.from, &place);
    if let Some(before) = before {
        before.done.cancelled().await;
    }
    let welcome = Frame::of(accepted.welcome);
    out.send(welcome).await.map_err(|_| Trouble::Closed)?;
    // From here on the task that receives messages ends the registration.
    std::mem::forget(held);
    Ok((Arc::new(accepted.from), place))
}

/// A registration whose handshake hasn't ended. Dropping it ends the registration.
struct Held<'a>(&'a LocalEnd, &'a (NodeId, Incarnation), &'a Registration);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.registry.leave(self.1, self.2);
    }
}

async fn refuse(trouble: &Trouble, out: &mpsc::Sender<Frame>) {
    metrics::counter!(names::LINK_REFUSED, "reason" => "handshake").increment(1);
    tracing::warn!(error = %trouble, "a replica's link was refused");
    if let Trouble::Refused(refusal) = trouble {
        let code = refusal.code();
        // If the dialler has gone, it needs no reason.
        drop(out.send(Frame::of(Body::Refused(Refused { code }))).await);
    }
}

struct Serving {
    end: Arc<LocalEnd>,
    service: Arc<dyn Service>,
    from: From,
    out: mpsc::Sender<Frame>,
    messages: mpsc::Sender<Weighed>,
    messages_budget: Budget,
    calls: JoinSet<()>,
    calls_budget: Budget,
    served: metrics::Counter,
}

impl Serving {
    /// Reads frames until the dialler closes the stream or the stream breaks. Doesn't read while a queue
    /// is full, so that HTTP/2 puts backpressure on the dialler.
    async fn read(&mut self, frames: &mut Streaming<Frame>) {
        let end = Arc::clone(&self.end);
        let mut stopping = pin!(end.stopping.cancelled());
        let mut told = false;
        loop {
            let frame = tokio::select! {
                biased;
                () = &mut stopping, if !told => {
                    told = true;
                    drop(self.out.send(Frame::of(Body::Leaving(Leaving {}))).await);
                    continue;
                }
                frame = frames.message() => frame,
            };
            let Ok(Some(frame)) = frame else { return };
            while self.calls.try_join_next().is_some() {}
            match frame.body {
                Some(Body::Call(call)) => self.call(frame.id, call).await,
                Some(Body::Relay(relay)) => self.relay(frame.id, relay).await,
                Some(Body::Message(message)) => {
                    let Some(weighed) = self.messages_budget.weigh(message).await else {
                        return;
                    };
                    if self.messages.send(weighed).await.is_err() {
                        return;
                    }
                }
                _ if frame.id != 0 => {
                    let unknown = Frame::failure(frame.id, FailureKind::Unknown);
                    drop(self.out.send(unknown).await);
                }
                // A frame of a newer version that expects no answer.
                _ => {}
            }
        }
    }

    /// Waits for the calls in flight. Their answers still go out if the dialler reads them.
    async fn finish(self) {
        let Self {
            end,
            mut calls,
            messages,
            out,
            ..
        } = self;
        drop((messages, out));
        tokio::select! {
            biased;
            () = end.killed.cancelled() => {}
            () = async { while calls.join_next().await.is_some() {} } => {}
        }
    }

    async fn call(&mut self, id: u64, call: Call) {
        let taken = self.room(call.payload.len()).await;
        self.served.increment(1);
        let from = match call.origin {
            Some(origin) => Arc::new((NodeId(origin.node), Incarnation(origin.incarnation))),
            None => Arc::clone(&self.from),
        };
        let message_bytes_max = self.end.dialler.settings.message_bytes_max;
        let service = Arc::clone(&self.service);
        let deadline = deadline(call.left_us);
        let reply = Reply::new(id, &self.out);
        self.calls.spawn(async move {
            let _taken = taken;
            let answer = service.call(&from, call.payload, deadline);
            let frame = match tokio::time::timeout_at(deadline, answer).await {
                Ok(answer) if answer.len() <= message_bytes_max => Frame::answer(id, answer),
                Ok(_) => Frame::failure(id, FailureKind::TooLarge),
                Err(_) => Frame::failure(id, FailureKind::TimedOut),
            };
            reply.send(frame, deadline).await;
        });
    }

    async fn relay(&mut self, id: u64, relay: Relay) {
        let taken = self.room(relay.payload.len()).await;
        let end = Arc::clone(&self.end);
        let deadline = deadline(relay.left_us);
        let reply = Reply::new(id, &self.out);
        let request = Request::Call {
            payload: relay.payload,
            origin: Some((*self.from).clone()),
        };
        let to = Peer {
            node: NodeId(relay.node),
            incarnation: Incarnation(relay.incarnation),
            address: relay.address,
        };
        self.calls.spawn(async move {
            let _taken = taken;
            let frame = match end.request(&to, request, deadline).await {
                Ok(answer) => Frame::answer(id, answer),
                Err(error) => Frame::failure(id, relay_failure(&error)),
            };
            reply.send(frame, deadline).await;
        });
    }

    /// Waits until one more call, of this many bytes, may be served.
    async fn room(&mut self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        while self.calls.len() >= self.end.dialler.settings.calls_max {
            self.calls.join_next().await;
        }
        self.calls_budget.take(bytes).await
    }
}

fn deadline(left_us: u64) -> Instant {
    Instant::now() + Duration::from_micros(left_us).min(LEFT_MAX)
}

fn relay_failure(error: &LinkError) -> FailureKind {
    match error {
        LinkError::NotSent(_) => FailureKind::NotRelayed,
        LinkError::Lost(_) => FailureKind::RelayLost,
        LinkError::TimedOut => FailureKind::TimedOut,
        LinkError::Full => FailureKind::RelayFull,
    }
}

/// Makes sure that a call gets an answer: if it is dropped without one, it answers that the service
/// failed.
struct Reply {
    id: u64,
    out: Option<mpsc::Sender<Frame>>,
}

impl Reply {
    fn new(id: u64, out: &mpsc::Sender<Frame>) -> Self {
        Self {
            id,
            out: Some(out.clone()),
        }
    }

    async fn send(mut self, frame: Frame, deadline: Instant) {
        if let Some(out) = self.out.take() {
            // After the deadline nobody waits for the answer.
            drop(tokio::time::timeout_at(deadline, out.send(frame)).await);
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let Some(out) = self.out.take() {
            // If there is no room, the caller waits until its deadline.
            drop(out.try_send(Frame::failure(self.id, FailureKind::Failed)));
        }
    }
}

/// Gives the messages to the service one by one, and tells the service when no more will come.
async fn receive(
    end: Arc<LocalEnd>,
    service: Arc<dyn Service>,
    from: From,
    place: Registration,
    mut queue: mpsc::Receiver<Weighed>,
) {
    let receiving = {
        let (service, from) = (Arc::clone(&service), Arc::clone(&from));
        let (killed, replaced) = (end.killed.clone(), place.replaced.clone());
        // In a task of its own, so that a panic of the service doesn't keep `disconnected` from being called.
        tokio::spawn(async move {
            let all = async {
                while let Some(Weighed { message, .. }) = queue.recv().await {
                    service.receive(&from, message).await;
                }
            };
            tokio::select! {
                biased;
                () = killed.cancelled() => {}
                () = replaced.cancelled() => {}
                () = all => {}
            }
        })
    };
    if receiving.await.is_err() {
        tracing::error!(peer = %from.0.0, "the service failed on a message; the link ends");
        place.replaced.cancel();
    }
    service.disconnected(&from);
    end.registry.leave(&from, &place);
}
