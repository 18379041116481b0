//! Requests of other replicas: this replica's own actors handle them or they are refused, never forwarded.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::{Instant, timeout, timeout_at};
use trackops_cluster::directory::Owner;
use trackops_cluster::link::{Peer, Service};
use trackops_cluster::membership::{Incarnation, NodeId};
use trackops_domain::access::Caller;
use trackops_domain::ids::OrderId;

use super::core::{LATE, Router};
use crate::codec::link::{Answer, Message, Request};
use crate::model::order_answer::OrderAnswer;
use crate::model::order_request::OrderRequest;
use crate::model::orders_error::OrdersError;
use crate::ports::orders::{Orders, OrdersExt};

/// How long telling the end of a watch may take; after that it is told when the owner pushes again. Messages
/// are handled one after the other, so none may wait long.
const UNWATCH_LIMIT: Duration = Duration::from_millis(200);

/// Another replica, on behalf of the listeners that it has. It has asked on each one's behalf before.
fn replica() -> Caller {
    Caller::Internal("replica".into())
}

impl Router {
    /// Handles `request` with this replica's own actors.
    pub(super) async fn here(&self, request: Request) -> Answer {
        let (order, result) = match request {
            Request::Ask(order, OrderRequest::Place(request)) => {
                let placed = self.node.place_as(order, false, request).await;
                (order, placed.map(OrderAnswer::Done).map(Answer::Answered))
            }
            Request::Ask(order, request) => {
                let answered = self.node.ask(request).await;
                (order, answered.map(Answer::Answered))
            }
            Request::Watch(order, None) => {
                let history = self.node.history(order, &replica()).await;
                (order, history.map(|history| Answer::Order(history.order)))
            }
            Request::Watch(order, Some(subscriber)) => {
                let watched = self.feeds.watch(&*self.node, order, &subscriber).await;
                (order, watched.map(Answer::Order))
            }
        };
        match result {
            Ok(answer) => answer,
            Err(OrdersError::NotOwner) => Answer::NotOwner(self.next_owner(order)),
            Err(error) => Answer::Failed(error),
        }
    }

    /// The replica that this one takes for the owner, unless that is itself.
    fn next_owner(&self, order: OrderId) -> Option<Owner> {
        let owner = self.directory.owner(self.shard_of(order));
        owner.filter(|owner| !self.is_me(owner))
    }

    pub(super) async fn send_unwatch(&self, to: &Peer, order: OrderId, number: u64) {
        let message = Message::Unwatch { order, number }.encode();
        let sent = timeout(UNWATCH_LIMIT, self.links.send(to, message)).await;
        if !matches!(sent, Ok(Ok(()))) {
            tracing::debug!(peer = to.node.0, %order, "end of a watch not told");
        }
    }

    /// Where `from` can be reached.
    fn peer(&self, from: &(NodeId, Incarnation)) -> Option<Peer> {
        let view = self.directory.view();
        let found = view
            .nodes
            .iter()
            .find(|node| node.node == from.0 && node.incarnation == from.1)?;
        Some(Peer {
            node: found.node.clone(),
            incarnation: found.incarnation,
            address: found.address.clone(),
        })
    }
}

#[async_trait]
impl Service for Router {
    async fn call(
        &self,
        _from: &(NodeId, Incarnation),
        request: Bytes,
        deadline: Instant,
    ) -> Bytes {
        match Request::decode(&request) {
            Err(error) => Answer::NotUnderstood(error.to_string()).encode(),
            Ok(request) => match timeout_at(deadline, self.here(request)).await {
                Ok(answer) => answer.encode(),
                Err(_) => Answer::Failed(LATE).encode(),
            },
        }
    }

    async fn receive(&self, from: &(NodeId, Incarnation), message: Bytes) {
        match Message::decode(&message) {
            Err(error) => tracing::debug!(peer = from.0.0, %error, "message not understood"),
            Ok(Message::State {
                order,
                number,
                state,
                position,
            }) => {
                if !self.mirror.told(order, number, state, position)
                    && let Some(peer) = self.peer(from)
                {
                    self.send_unwatch(&peer, order, number).await;
                }
            }
            Ok(Message::Moved { order, number }) => self.mirror.moved(order, number),
            Ok(Message::Unwatch { order, number }) => self.feeds.unwatch(from, order, number),
        }
    }

    fn disconnected(&self, from: &(NodeId, Incarnation)) {
        self.mirror.disconnected(from);
    }
}
