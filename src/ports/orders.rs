//! The orders as their callers (REST, sockets, consumers) see them: requests and subscriptions. Leaves
//! finding an order's owner to the implementations.

use std::sync::Arc;

use async_trait::async_trait;
use trackops_domain::access::Caller;
use trackops_domain::ids::{OrderId, Version};
use trackops_domain::order::Order;

use super::live::LiveListener;
use crate::model::order_answer::{ActorReport, Done, History, OrderAnswer, Read};
use crate::model::order_request::{CommandRequest, LocateRequest, OrderRequest, PlaceRequest};
use crate::model::orders_error::OrdersError;

/// Answers requests about orders. Implemented by this replica's actors, by the router to the owners, and
/// by test doubles.
#[async_trait]
pub trait Orders: Send + Sync + 'static {
    /// Sends `request` to the order's owner and returns its answer. [`OrdersExt`] has a method for each
    /// kind of request.
    async fn ask(&self, request: OrderRequest) -> Result<OrderAnswer, OrdersError>;

    /// Subscribes `listener` to changes after `since`. Returns the order as of the
    /// registration.
    async fn subscribe(
        &self,
        order: OrderId,
        since: Option<Version>,
        listener: Arc<dyn LiveListener>,
    ) -> Result<Arc<Order>, OrdersError>;
}

/// [`Orders::ask`] with the answer's type.
pub trait OrdersExt: Orders {
    /// See [`OrderRequest::Place`].
    fn place(
        &self,
        request: PlaceRequest,
    ) -> impl Future<Output = Result<Done, OrdersError>> + Send {
        async move {
            match self.ask(OrderRequest::Place(request)).await? {
                OrderAnswer::Done(done) => Ok(done),
                _ => Err(OrdersError::UNEXPECTED_ANSWER),
            }
        }
    }

    /// See [`OrderRequest::Execute`].
    fn execute(
        &self,
        request: CommandRequest,
    ) -> impl Future<Output = Result<Done, OrdersError>> + Send {
        async move {
            match self.ask(OrderRequest::Execute(request)).await? {
                OrderAnswer::Done(done) => Ok(done),
                _ => Err(OrdersError::UNEXPECTED_ANSWER),
            }
        }
    }

    /// See [`OrderRequest::Read`].
    fn read(
        &self,
        order: OrderId,
        caller: &Caller,
    ) -> impl Future<Output = Result<Read, OrdersError>> + Send {
        async move {
            match self.ask(OrderRequest::Read(order, caller.clone())).await? {
                OrderAnswer::Read(read) => Ok(read),
                _ => Err(OrdersError::UNEXPECTED_ANSWER),
            }
        }
    }

    /// See [`OrderRequest::History`].
    fn history(
        &self,
        order: OrderId,
        caller: &Caller,
    ) -> impl Future<Output = Result<History, OrdersError>> + Send {
        async move {
            match self
                .ask(OrderRequest::History(order, caller.clone()))
                .await?
            {
                OrderAnswer::History(history) => Ok(history),
                _ => Err(OrdersError::UNEXPECTED_ANSWER),
            }
        }
    }

    /// See [`OrderRequest::Locate`]. `true` for a repeat under a known key, which changes nothing.
    fn locate(
        &self,
        request: LocateRequest,
    ) -> impl Future<Output = Result<bool, OrdersError>> + Send {
        async move {
            match self.ask(OrderRequest::Locate(request)).await? {
                OrderAnswer::Located { replayed } => Ok(replayed),
                _ => Err(OrdersError::UNEXPECTED_ANSWER),
            }
        }
    }

    /// See [`OrderRequest::Inspect`].
    fn inspect(
        &self,
        order: OrderId,
    ) -> impl Future<Output = Result<ActorReport, OrdersError>> + Send {
        async move {
            match self.ask(OrderRequest::Inspect(order)).await? {
                OrderAnswer::Report(report) => Ok(report),
                _ => Err(OrdersError::UNEXPECTED_ANSWER),
            }
        }
    }

    /// See [`OrderRequest::Release`]. `false` if it wasn't quarantined.
    fn release(&self, order: OrderId) -> impl Future<Output = Result<bool, OrdersError>> + Send {
        async move {
            match self.ask(OrderRequest::Release(order)).await? {
                OrderAnswer::Released { was_quarantined } => Ok(was_quarantined),
                _ => Err(OrdersError::UNEXPECTED_ANSWER),
            }
        }
    }
}

impl<T: Orders + ?Sized> OrdersExt for T {}
