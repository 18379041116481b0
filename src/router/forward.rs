//! One hop to the owner, repeated within the caller's deadline if the replica wasn't the owner or couldn't be
//! reached. A request may arrive twice: a command carries an id, and its success is remembered under that id,
//! so the second gets the same answer as the first. Leaves
//! when to try again to [`super::retry`].

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout_at};
use trackops_cluster::ShardId;
use trackops_cluster::directory::{Directory, Owner};
use trackops_cluster::link::{LinkError, Peer};
use trackops_domain::ids::OrderId;

use super::core::{LATE, Router, Target};
use crate::codec::link::{Answer, Request};
use crate::model::order_answer::{Done, OrderAnswer};
use crate::model::order_request::OrderRequest;
use crate::model::orders_error::{Full, OrdersError};
use crate::telemetry::names;

/// The answer to a request that took its owner too long.
const OWNER_LATE: OrdersError = OrdersError::OwnerUnavailable {
    why: "no answer in time; the command may still happen",
    retry_after: Duration::from_secs(1),
};

/// The answer if an owner's lease has run out and no other owner follows.
const EXPIRED: OrdersError = OrdersError::Unavailable {
    why: "the replica's lease has run out",
    retry_after: Duration::from_secs(1),
};

/// Other replicas asked to relay a request, one after the other.
const RELAYS_MAX: usize = 2;

/// The outcome of a request.
pub(super) enum Routed {
    /// The answer, and which replica gave it.
    Answered(Answer, By),
    /// This replica owns the order that it was to watch elsewhere.
    Own,
}

/// Which replica answered.
pub(super) enum By {
    /// This replica.
    Here,
    /// The owner.
    Owner(Peer),
    /// The owner, through a third replica.
    Relayed(Peer),
}

/// The outcome of one attempt at the owner.
enum Attempt {
    Answered(Answer, By),
    /// It may be tried again. `perhaps`: this attempt may have had its effect.
    Again {
        perhaps: bool,
    },
    Failed(OrdersError),
    /// As [`Routed::Own`].
    Own,
}

impl Router {
    /// Has `request` handled by the owner of `order`.
    pub(super) async fn route(
        &self,
        order: OrderId,
        request: Request,
        deadline: Instant,
    ) -> Result<Routed, OrdersError> {
        let shard = self.shard_of(order);
        let mut retry = self.retry(shard, deadline);
        let mut perhaps_done = false;
        let mut text = None;
        loop {
            let attempt = match self.target(shard) {
                Target::Here => self.at_home(&request, deadline).await,
                Target::Perhaps => {
                    let text = text.get_or_insert_with(|| sent_form(&request).encode());
                    match self.elsewhere(shard, text, deadline).await {
                        Some(attempt) => attempt,
                        None if matches!(request, Request::Watch(..)) => {
                            let over = Answer::Failed(OrdersError::LeaseOver);
                            Attempt::Answered(over, By::Here)
                        }
                        None => self.at_home(&request, deadline).await,
                    }
                }
                Target::There(owner) => {
                    let text = text.get_or_insert_with(|| sent_form(&request).encode());
                    self.there(shard, &owner, &request, text, deadline).await
                }
                Target::Nobody => Attempt::Again { perhaps: false },
            };
            match attempt {
                Attempt::Answered(answer, _) if retry.may_pass(&answer) => {}
                Attempt::Answered(Answer::Failed(error), by) => {
                    return Err(self.failed_by(error, &by));
                }
                Attempt::Answered(answer, by) => return Ok(routed(answer, by, perhaps_done)),
                Attempt::Again { .. } if !self.is_linked => return Err(OrdersError::NotOwner),
                Attempt::Again { perhaps } => perhaps_done |= perhaps,
                Attempt::Failed(error) => return Err(error),
                Attempt::Own => return Ok(Routed::Own),
            }
            retry.pause().await?;
        }
    }

    /// The error of an answer. If this replica's own lease holds, the authority is reachable, so an
    /// unavailable owner has a problem of its own.
    fn failed_by(&self, error: OrdersError, by: &By) -> OrdersError {
        let error = match error {
            // The owner has had its time to get a lease again.
            OrdersError::LeaseOver => EXPIRED,
            error => error,
        };
        match error {
            OrdersError::Unavailable { why, retry_after }
                if !matches!(by, By::Here) && self.node.ownership().lease_holds() =>
            {
                OrdersError::OwnerUnavailable { why, retry_after }
            }
            error => error,
        }
    }

    /// One attempt with this replica's own actors.
    async fn at_home(&self, request: &Request, deadline: Instant) -> Attempt {
        if matches!(request, Request::Watch(..)) {
            return Attempt::Own;
        }
        match timeout_at(deadline, self.here(request.clone())).await {
            Ok(Answer::NotOwner(_)) => Attempt::Again { perhaps: false },
            Ok(answer) => Attempt::Answered(answer, By::Here),
            Err(_) => Attempt::Failed(LATE),
        }
    }

    /// One attempt without a known owner: this replica was the owner until its lease ran out, and can't ask
    /// the authority who is now. It asks another replica, which answers if it owns the shard, and otherwise
    /// says which replica it takes for the owner. `None` if no replica knows of another owner.
    async fn elsewhere(&self, shard: ShardId, text: &Bytes, deadline: Instant) -> Option<Attempt> {
        for peer in self.others(None) {
            match self.links.call(&peer, text.clone(), deadline).await {
                Ok(answer) => {
                    let owner = Answer::decode(&answer);
                    if matches!(owner, Ok(Answer::NotOwner(Some(owner))) if self.is_me(&owner)) {
                        return None;
                    }
                    return Some(self.answered(shard, &answer, By::Owner(peer)));
                }
                Err(LinkError::NotSent(_)) => count("not_sent"),
                Err(error) => return Some(unanswered(&error)),
            }
        }
        None
    }

    /// One attempt at the owner.
    async fn there(
        &self,
        shard: ShardId,
        owner: &Owner,
        request: &Request,
        text: &Bytes,
        deadline: Instant,
    ) -> Attempt {
        let peer = peer_of(owner);
        let called = tokio::select! {
            biased;
            called = self.links.call(&peer, text.clone(), deadline) => called,
            // A newer owner exists. It finds what the old one did before it was deposed, and the old one does
            // no more.
            () = superseded(&self.directory, shard, owner) => {
                count("superseded");
                return Attempt::Again { perhaps: true };
            }
        };
        match called {
            Ok(answer) => self.answered(shard, &answer, By::Owner(peer)),
            Err(LinkError::NotSent(error)) => {
                count("not_sent");
                tracing::debug!(peer = peer.node.0, %error, "owner not reached");
                self.relay(shard, peer, request, deadline).await
            }
            Err(error) => unanswered(&error),
        }
    }

    /// One attempt through another replica, for an owner that is alive and can't be reached from here.
    async fn relay(
        &self,
        shard: ShardId,
        owner: Peer,
        request: &Request,
        deadline: Instant,
    ) -> Attempt {
        let is_owner = |now: &Owner| peer_of(now) == owner;
        if !self.directory.owner(shard).as_ref().is_some_and(is_owner) {
            return Attempt::Again { perhaps: false };
        }
        let text = relayed_form(request).encode();
        for third in self.others(Some(&owner)).into_iter().take(RELAYS_MAX) {
            let relayed = self.links.relay(&third, &owner, text.clone(), deadline);
            match relayed.await {
                Ok(answer) => {
                    let by = By::Relayed(owner.clone());
                    return self.answered(shard, &answer, by);
                }
                Err(LinkError::NotSent(_)) => {}
                Err(error) => return unanswered(&error),
            }
        }
        Attempt::Again { perhaps: false }
    }

    /// The live replicas other than this one and `owner`, ascending.
    fn others(&self, owner: Option<&Peer>) -> Vec<Peer> {
        let view = self.directory.view();
        let alive = view.nodes.iter().filter(|node| !node.remaining.is_zero());
        alive
            .map(|node| Peer {
                node: node.node.clone(),
                incarnation: node.incarnation,
                address: node.address.clone(),
            })
            .filter(|peer| owner.is_none_or(|owner| peer.node != owner.node))
            .filter(|peer| peer.node != self.me.node)
            .collect()
    }

    fn answered(&self, shard: ShardId, text: &[u8], by: By) -> Attempt {
        match Answer::decode(text) {
            Ok(Answer::NotOwner(owner)) => {
                count("not_owner");
                if let Some(owner) = owner {
                    self.directory.learn(shard, owner);
                }
                Attempt::Again { perhaps: false }
            }
            Ok(Answer::NotUnderstood(why)) => {
                count("not_understood");
                tracing::warn!(why, "the order's owner doesn't understand a request");
                Attempt::Failed(OrdersError::UNEXPECTED_ANSWER)
            }
            Ok(answer) => {
                count(match by {
                    By::Relayed(_) => "relayed",
                    _ => "answered",
                });
                Attempt::Answered(answer, by)
            }
            Err(error) => {
                count("not_understood");
                tracing::warn!(%error, "an answer of the order's owner can't be read");
                Attempt::Failed(OrdersError::UNEXPECTED_ANSWER)
            }
        }
    }
}

/// The caller's answer. If an earlier attempt may have run the command, the answer is not marked as a repeat,
/// because the caller sent it only once.
fn routed(answer: Answer, by: By, perhaps_done: bool) -> Routed {
    let answer = match answer {
        Answer::Answered(OrderAnswer::Done(done)) if perhaps_done => {
            let replayed = false;
            Answer::Answered(OrderAnswer::Done(Done { replayed, ..done }))
        }
        answer => answer,
    };
    Routed::Answered(answer, by)
}

/// The form in which a request is sent. A client's command may have to be sent again, so a success without a
/// change is remembered too, as under a key: its id was drawn for it alone. The id of a bus message is
/// derived from its sender's id and is trusted here as it is locally; the message itself is redelivered.
fn sent_form(request: &Request) -> Request {
    let mut sent = request.clone();
    if let Request::Ask(_, OrderRequest::Execute(command)) = &mut sent {
        command.keyed |= command.id.is_drawn();
    }
    sent
}

/// The form in which a request is relayed: an owner that this replica can't reach can't push to it either.
fn relayed_form(request: &Request) -> Request {
    match request {
        Request::Watch(order, _) => Request::Watch(*order, None),
        Request::Ask(..) => sent_form(request),
    }
}

fn unanswered(error: &LinkError) -> Attempt {
    match error {
        LinkError::NotSent(_) => {
            count("not_sent");
            Attempt::Again { perhaps: false }
        }
        LinkError::Lost(_) => {
            count("lost");
            Attempt::Again { perhaps: true }
        }
        LinkError::TimedOut => {
            count("timed_out");
            Attempt::Failed(OWNER_LATE)
        }
        LinkError::Full => {
            count("full");
            Attempt::Failed(OrdersError::Overloaded {
                full: Full::Link,
                retry_after: Duration::from_secs(1),
            })
        }
    }
}

/// Returns when `shard` has a later owner than `owner`.
async fn superseded(directory: &Directory, shard: ShardId, owner: &Owner) {
    let mut changes = directory.changes();
    let is_over = |_: &u64| {
        let now = directory.owner(shard);
        now.is_some_and(|now| now.epoch > owner.epoch && peer_of(&now) != peer_of(owner))
    };
    if changes.wait_for(is_over).await.is_err() {
        std::future::pending::<()>().await;
    }
}

pub(super) fn peer_of(owner: &Owner) -> Peer {
    Peer {
        node: owner.node.clone(),
        incarnation: owner.incarnation,
        address: owner.address.clone(),
    }
}

fn count(outcome: &'static str) {
    metrics::counter!(names::FORWARDED_COMMANDS, "outcome" => outcome).increment(1);
}
