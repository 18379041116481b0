//! The order actor. It handles one message at a time; the next waits until the last is durable. It answers
//! and tells the listeners. The files beside this one say what each message does.

use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use trackops_cluster::ShardId;
use trackops_domain::ids::{OrderId, Version};
use trackops_domain::order::Order;

use super::entry::Entry;
use super::execute::execute;
use super::locate::locate;
use super::message::{OrderMessage, Reply, Start};
use super::place::place;
use super::state::{Answer, State};
use crate::actors::context::Context;
use crate::actors::recency::Rank;
use crate::faults;
use crate::model::order_answer::Done;
use crate::model::orders_error::OrdersError;
use crate::ports::live::LiveListener;

/// The stateless half; see [`State`].
pub struct OrderActor;

/// What a new actor is told.
pub struct Arguments {
    /// Its order.
    pub order: OrderId,
    /// The order's shard.
    pub shard: ShardId,
    /// What it shares with the other actors.
    pub context: Arc<Context>,
    /// Where it shows its state to others.
    pub entry: Arc<Entry>,
    /// What it has to do first.
    pub start: Start,
}

impl Actor for OrderActor {
    type Msg = OrderMessage;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        _myself: ActorRef<Self::Msg>,
        new: Arguments,
    ) -> Result<State, ActorProcessingErr> {
        Ok(State::new(
            new.order,
            new.shard,
            new.context,
            new.entry,
            new.start,
        ))
    }

    // Boxed: ractor keeps room for this future in every idle actor, twice, and it is 2.8 KB.
    fn handle(
        &self,
        _myself: ActorRef<Self::Msg>,
        message: OrderMessage,
        state: &mut State,
    ) -> impl Future<Output = Result<(), ActorProcessingErr>> + Send {
        Box::pin(async move {
            state.handle(message).await;
            Ok(())
        })
    }
}

impl State {
    async fn handle(&mut self, message: OrderMessage) {
        // The permit is given back only after the answer, so an actor with work never counts as idle.
        match message {
            OrderMessage::Place(request, reply, _permit) => {
                let result = place(self, *request).await;
                self.answer(reply, result);
            }
            OrderMessage::Execute(request, reply, _permit) => {
                let fault = faults::hit(faults::points::PANIC_IN_HANDLER, &self.id.to_string());
                assert!(!fault, "fault point: panic in handler");
                let result = execute(self, *request).await;
                self.answer(reply, result);
            }
            OrderMessage::Subscribe(listener, since, reply, _permit) => {
                let result = self.subscribe(listener, since).await;
                drop(reply.send(result));
            }
            OrderMessage::Locate(request, reply, _permit) => {
                let result = locate(self, *request).await;
                drop(reply.send(result));
            }
            OrderMessage::Wake(reply, _permit) => {
                let result = self.wake().await;
                if let Err(error) = &result {
                    tracing::warn!(order = %self.id, %error, "order not loaded yet");
                }
                if let Some(reply) = reply {
                    drop(reply.send(result));
                }
            }
        }
        self.touch();
    }

    fn touch(&self) {
        let is_final = |order: &Arc<Order>| order.status().is_final();
        let is_over = self.order.as_ref().is_none_or(is_final);
        let rank = if is_over { Rank::Final } else { Rank::Live };
        self.entry.place.touch(rank);
    }

    async fn subscribe(
        &mut self,
        listener: Arc<dyn LiveListener>,
        since: Option<Version>,
    ) -> Result<Arc<Order>, OrdersError> {
        self.load().await?;
        let order = self.order.clone().ok_or(OrdersError::NotFound)?;
        self.under_lease()?;
        let position = self.position(&order);
        self.context.hub.attach(listener, since, &order, position);
        Ok(order)
    }

    async fn wake(&mut self) -> Result<(), OrdersError> {
        self.load().await?;
        self.under_lease()?;
        if let Some(order) = &self.order {
            self.context.hub.publish(order, None);
        }
        Ok(())
    }

    /// Answers, then pushes: the client that asked hears first. Neither happens before the commit.
    fn answer(&self, reply: Reply<Done>, result: Result<Answer, OrdersError>) {
        let pushed = result.as_ref().ok().and_then(|(_, committed)| *committed);
        drop(reply.send(result.map(|(done, _)| done)));
        if pushed.is_some() {
            faults::crash(faults::points::CRASH_AFTER_REPLY);
            if let Some(order) = &self.order {
                self.context.hub.publish(order, pushed);
            }
        }
    }
}
