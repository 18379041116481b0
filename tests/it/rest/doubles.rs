//! What fails on demand in front of the real orders, and dead letters that need no bus.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::Notify;
use trackops::actors::node::Node;
use trackops::api::admin::dead_letter_admin::{
    DeadLetter, DeadLetterAdmin, DeadLetterAdminError, DeadLetterId,
};
use trackops::model::order_answer::OrderAnswer;
use trackops::model::order_request::OrderRequest;
use trackops::model::orders_error::OrdersError;
use trackops::ports::live::LiveListener;
use trackops::ports::orders::Orders;
use trackops_domain::ids::{OrderId, Version};
use trackops_domain::order::Order;

/// What the next request does instead of going to the node.
pub enum Next {
    Fail(OrdersError),
    Panic,
    /// Waits until the notification, then goes there.
    Wait(Arc<Notify>),
    /// Goes there; what is read may be as old as this.
    Old(Duration),
}

/// The orders of a node, as long as no failure is wanted.
pub struct FailingOrders {
    node: Arc<Node>,
    next: Mutex<Option<Next>>,
    waiting: Notify,
}

impl FailingOrders {
    pub fn new(node: Arc<Node>) -> Self {
        Self {
            node,
            next: Mutex::default(),
            waiting: Notify::new(),
        }
    }

    pub fn next(&self, next: Next) {
        *self.next.lock() = Some(next);
    }

    /// Returns when a request waits as [`Next::Wait`] told it to.
    pub async fn taken(&self) {
        self.waiting.notified().await;
    }
}

#[async_trait]
impl Orders for FailingOrders {
    async fn ask(&self, request: OrderRequest) -> Result<OrderAnswer, OrdersError> {
        let next = self.next.lock().take();
        match next {
            None => self.node.ask(request).await,
            Some(Next::Fail(error)) => Err(error),
            Some(Next::Panic) => panic!("a fault in the handler"),
            Some(Next::Wait(until)) => {
                self.waiting.notify_one();
                until.notified().await;
                self.node.ask(request).await
            }
            Some(Next::Old(age)) => {
                let mut answer = self.node.ask(request).await?;
                match &mut answer {
                    OrderAnswer::Read(read) => read.age = Some(age),
                    OrderAnswer::History(history) => history.age = Some(age),
                    _ => {}
                }
                Ok(answer)
            }
        }
    }

    async fn subscribe(
        &self,
        order: OrderId,
        since: Option<Version>,
        listener: Arc<dyn LiveListener>,
    ) -> Result<Arc<Order>, OrdersError> {
        self.node.subscribe(order, since, listener).await
    }
}

/// Dead letters of `FULFILLMENT_UPDATES`, at partition 0, offsets 4 to 6.
#[derive(Default)]
pub struct FakeDeadLetters {
    pub sent: Mutex<Vec<DeadLetterId>>,
}

impl FakeDeadLetters {
    fn letters() -> impl Iterator<Item = DeadLetter> {
        (4..7).map(|offset| DeadLetter {
            id: DeadLetterId {
                topic: "FULFILLMENT_UPDATES".into(),
                partition: 0,
                offset,
            },
            origin: Some((2, 17)),
            key: None,
            code: "malformed".into(),
            reason: "not JSON".into(),
            group: "orders".into(),
            parked_at: "2026-01-01T00:00:00.000Z".into(),
            sent_again: None,
            payload_left_out: None,
            headers: BTreeMap::from([("ce_id".into(), "1".into())]),
            payload: Some("{".into()),
        })
    }
}

#[async_trait]
impl DeadLetterAdmin for FakeDeadLetters {
    async fn list(
        &self,
        topic: Option<&str>,
        from: Option<&DeadLetterId>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, DeadLetterAdminError> {
        if topic.is_some_and(|topic| topic != "FULFILLMENT_UPDATES") {
            return Err(DeadLetterAdminError::UnknownTopic);
        }
        let first = from.map_or(0, |from| from.offset);
        let letters = Self::letters().filter(|letter| letter.id.offset >= first);
        Ok(letters.take(limit).collect())
    }

    async fn show(&self, id: &DeadLetterId) -> Result<Option<DeadLetter>, DeadLetterAdminError> {
        Ok(Self::letters().find(|letter| letter.id == *id))
    }

    async fn send_again(&self, id: &DeadLetterId) -> Result<(), DeadLetterAdminError> {
        self.show(id).await?.ok_or(DeadLetterAdminError::NotFound)?;
        if id.offset == 6 {
            return Err(DeadLetterAdminError::LeftOut);
        }
        self.sent.lock().push(id.clone());
        Ok(())
    }
}
