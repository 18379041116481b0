//! The calls of the order service.

use hyper::Method;
use serde_json::json;
use url::Url;
use uuid::Uuid;

use super::answer::Answer;
use super::client::Client;
use super::error::Error;
use super::order_views::{HistoryView, OrderContent, OrderView, Position};
use super::page::{Page, PageRequest};
use super::status::Status;
use super::tracking_views::{TrackingLink, TrackingView};
use super::transport::Ask;
use super::write_options::WriteOptions;

/// Which orders are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrderFilter {
    /// Any of these; all, if there is none.
    pub statuses: Vec<Status>,
    /// Only of this customer.
    pub customer: Option<Uuid>,
    /// Of any of these shops, at most 16; of any shop and of none, if there is none.
    pub shops: Vec<String>,
}

impl Client {
    /// Places an order. It is committed when this returns.
    pub async fn place(
        &self,
        content: &OrderContent,
        options: WriteOptions,
    ) -> Result<Answer<OrderView>, Error> {
        let url = self.orders_url(&[]);
        self.write(Method::POST, url, content, &options).await
    }

    /// Places the order that `body` describes, JSON that is sent as it is.
    pub async fn place_json(
        &self,
        body: Vec<u8>,
        options: WriteOptions,
    ) -> Result<Answer<OrderView>, Error> {
        let ask = Ask::write(Method::POST, self.orders_url(&[]), body, &options);
        self.transport().ask_json(ask).await
    }

    /// An order as it stands.
    pub async fn order(&self, id: Uuid) -> Result<Answer<OrderView>, Error> {
        self.read(self.order_url(id, &[])).await
    }

    /// A page of orders, newest first.
    pub async fn orders(
        &self,
        filter: &OrderFilter,
        page: &PageRequest,
    ) -> Result<Answer<Page<OrderView>>, Error> {
        let mut url = self.orders_url(&[]);
        url.query_pairs_mut()
            .extend_pairs(filter.statuses.iter().map(|s| ("status", s.as_str())))
            .extend_pairs(filter.customer.map(|id| ("customerId", id.to_string())))
            .extend_pairs(filter.shops.iter().map(|shop| ("shopId", shop)))
            .extend_pairs(page.pairs());
        self.read(url).await
    }

    /// Every change of an order, oldest first.
    pub async fn history(&self, id: Uuid) -> Result<Answer<HistoryView>, Error> {
        self.read(self.order_url(id, &["history"])).await
    }

    /// The tracking link of an order, for whoever is to follow it. `tracking-link-not-found` where there are none, and
    /// once the order's has ended.
    pub async fn tracking_link(&self, id: Uuid) -> Result<Answer<TrackingLink>, Error> {
        self.read(self.order_url(id, &["tracking-link"])).await
    }

    /// The order of a tracking link, as whoever has the link sees it. It needs no credential. `link` may be the whole
    /// link or what stands after its last slash.
    pub async fn tracking(&self, link: &str) -> Result<Answer<TrackingView>, Error> {
        let token = link.rsplit('/').next().unwrap_or_default();
        self.read(self.join(&["api", "v1", "tracking", token]))
            .await
    }

    /// Takes an order's step to `status`. The step to the status that it already has is a success.
    pub async fn advance(
        &self,
        id: Uuid,
        status: &Status,
        options: WriteOptions,
    ) -> Result<Answer<OrderView>, Error> {
        let url = self.order_url(id, &["status"]);
        let body = json!({"status": status});
        self.write(Method::PUT, url, &body, &options).await
    }

    /// Takes an order's step to PREPARING or IN_TRANSIT and names the courier, in 1 to 64 visible ASCII
    /// characters. The step to the status that it already has is a success and changes no courier.
    pub async fn advance_with_courier(
        &self,
        id: Uuid,
        status: &Status,
        courier: &str,
        options: WriteOptions,
    ) -> Result<Answer<OrderView>, Error> {
        let url = self.order_url(id, &["status"]);
        let body = json!({"status": status, "courierId": courier});
        self.write(Method::PUT, url, &body, &options).await
    }

    /// Cancels an order. Everyone who watches sees the reason, 1 to 500 characters.
    pub async fn cancel(
        &self,
        id: Uuid,
        reason: Option<&str>,
        options: WriteOptions,
    ) -> Result<Answer<OrderView>, Error> {
        let url = self.order_url(id, &["cancel"]);
        let body = reason.map_or_else(|| json!({}), |reason| json!({"reason": reason}));
        self.write(Method::POST, url, &body, &options).await
    }

    /// Tells where the courier of an order is that is IN_TRANSIT.
    pub async fn locate(
        &self,
        id: Uuid,
        position: &Position,
        options: WriteOptions,
    ) -> Result<Answer<()>, Error> {
        let url = self.order_url(id, &["location"]);
        self.tell(Method::PUT, url, position, &options).await
    }

    fn order_url(&self, id: Uuid, below: &[&str]) -> Url {
        let id = id.to_string();
        let mut segments = vec![&*id];
        segments.extend(below);
        self.orders_url(&segments)
    }

    fn orders_url(&self, below: &[&str]) -> Url {
        let mut segments = vec!["api", "v1", "orders"];
        segments.extend(below);
        self.join(&segments)
    }
}
