//! The calls of the inventory service.

use hyper::Method;
use serde_json::json;
use url::Url;
use uuid::Uuid;

use super::answer::Answer;
use super::client::Client;
use super::error::Error;
use super::inventory_views::{AdjustmentView, ItemView, ReservationView};
use super::page::{Page, PageRequest};
use super::write_options::WriteOptions;

impl Client {
    /// A page of items, in order of SKU.
    pub async fn items(&self, page: &PageRequest) -> Result<Answer<Page<ItemView>>, Error> {
        let mut url = self.stock_url(&["items"]);
        url.query_pairs_mut().extend_pairs(page.pairs());
        self.read(url).await
    }

    /// An item's stock. An unknown item is a refusal, `item-not-found` (404).
    pub async fn item(&self, sku: &str) -> Result<Answer<ItemView>, Error> {
        self.read(self.stock_url(&["items", sku])).await
    }

    /// Sets what is on hand of an item, reserved or not.
    pub async fn set_on_hand(
        &self,
        sku: &str,
        on_hand: u64,
        options: WriteOptions,
    ) -> Result<Answer<ItemView>, Error> {
        let url = self.stock_url(&["items", sku]);
        let body = json!({"onHand": on_hand});
        self.write(Method::PUT, url, &body, &options).await
    }

    /// Adds to what is on hand of an item, or takes from it. Two at once both count.
    pub async fn adjust(
        &self,
        sku: &str,
        delta: i64,
        reason: &str,
        options: WriteOptions,
    ) -> Result<Answer<AdjustmentView>, Error> {
        let url = self.stock_url(&["items", sku, "adjustments"]);
        let body = json!({"delta": delta, "reason": reason});
        self.write(Method::POST, url, &body, &options).await
    }

    /// A page of an item's adjustments, newest first.
    pub async fn adjustments(
        &self,
        sku: &str,
        page: &PageRequest,
    ) -> Result<Answer<Page<AdjustmentView>>, Error> {
        let mut url = self.stock_url(&["items", sku, "adjustments"]);
        url.query_pairs_mut().extend_pairs(page.pairs());
        self.read(url).await
    }

    /// What an order holds.
    pub async fn reservation(&self, order: Uuid) -> Result<Answer<ReservationView>, Error> {
        let order = order.to_string();
        self.read(self.stock_url(&["reservations", &order])).await
    }

    fn stock_url(&self, below: &[&str]) -> Url {
        let mut segments = vec!["api", "v1", "inventory"];
        segments.extend(below);
        self.join(&segments)
    }
}
