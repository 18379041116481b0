//! The requests of the shop to the order and inventory services over HTTP.

use std::time::Duration;

use async_trait::async_trait;
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use thiserror::Error;
use trackops_domain::status::Status;
use uuid::Uuid;

use super::places::Point;
use super::schedule::Seen;
use crate::codec::content::ContentV1;
use crate::codec::view::OrderView;

/// Time limit of a request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The most orders of one status in one look: more than the shop has under way, so that it also sees orders
/// of other clients.
const LOOK_MAX: u32 = 100;
/// The statuses of orders under way.
const UNDER_WAY: [Status; 4] = [
    Status::Pending,
    Status::Confirmed,
    Status::Preparing,
    Status::InTransit,
];

/// A request failed.
#[derive(Debug, Error)]
pub enum RestError {
    /// There was no answer.
    #[error("no answer: {0}")]
    NoAnswer(#[from] reqwest::Error),
    /// The service refused.
    #[error("answered {0}")]
    Refused(StatusCode),
}

impl RestError {
    /// Whether the failure is the server's, not this request's.
    pub fn is_trouble(&self) -> bool {
        match self {
            Self::NoAnswer(_) => true,
            Self::Refused(status) => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
        }
    }
}

/// The stock of an item.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Level {
    /// Promised to orders.
    pub reserved: u64,
    /// What may still be promised.
    pub available: u64,
}

/// The services as the shop sees them.
#[async_trait]
pub trait Rest: Send + Sync + 'static {
    /// Orders under way, newest first, at most a hundred of each status.
    async fn under_way(&self) -> Result<Vec<Seen>, RestError>;

    /// Places an order.
    async fn place(&self, order: &ContentV1) -> Result<Uuid, RestError>;

    /// Cancels one.
    async fn cancel(&self, order: Uuid, reason: &str) -> Result<(), RestError>;

    /// Tells where its courier is.
    async fn locate(&self, order: Uuid, at: Point) -> Result<(), RestError>;

    /// The stock of an item; `None` for an unknown item.
    async fn level(&self, sku: &str) -> Result<Option<Level>, RestError>;

    /// Sets the quantity on hand.
    async fn stock(&self, sku: &str, on_hand: u64) -> Result<(), RestError>;
}

/// The services over HTTP.
pub struct HttpRest {
    http: reqwest::Client,
    orders: String,
    inventory: String,
}

#[derive(Deserialize)]
struct Page {
    items: Vec<OrderView>,
}

#[derive(Deserialize)]
struct Placed {
    id: Uuid,
}

impl HttpRest {
    /// Clients of the services at these base URLs.
    pub fn new(url: &str, inventory_url: &str) -> Result<Self, RestError> {
        let http = reqwest::Client::builder()
            .timeout(REQUEST_TIMEOUT)
            .no_proxy()
            .build()?;
        let base = |url: &str| format!("{}/api/v1", url.trim_end_matches('/'));
        Ok(Self {
            http,
            orders: format!("{}/orders", base(url)),
            inventory: format!("{}/inventory/items", base(inventory_url)),
        })
    }
}

#[async_trait]
impl Rest for HttpRest {
    async fn under_way(&self) -> Result<Vec<Seen>, RestError> {
        let mut seen = Vec::new();
        for status in UNDER_WAY {
            let url = format!("{}?status={status}&limit={LOOK_MAX}", self.orders);
            let page: Page = json_of(self.http.get(url)).await?;
            seen.extend(page.items.iter().filter_map(Seen::of_view));
        }
        Ok(seen)
    }

    async fn place(&self, order: &ContentV1) -> Result<Uuid, RestError> {
        let placed: Placed = json_of(self.http.post(&self.orders).json(order)).await?;
        Ok(placed.id)
    }

    async fn cancel(&self, order: Uuid, reason: &str) -> Result<(), RestError> {
        let url = format!("{}/{order}/cancel", self.orders);
        let body = json!({"reason": reason});
        send(self.http.post(url).json(&body)).await.map(drop)
    }

    async fn locate(&self, order: Uuid, at: Point) -> Result<(), RestError> {
        let url = format!("{}/{order}/location", self.orders);
        let body = json!({"lat": at.lat, "lon": at.lon});
        send(self.http.put(url).json(&body)).await.map(drop)
    }

    async fn level(&self, sku: &str) -> Result<Option<Level>, RestError> {
        let url = format!("{}/{sku}", self.inventory);
        match json_of(self.http.get(url)).await {
            Ok(level) => Ok(Some(level)),
            Err(RestError::Refused(StatusCode::NOT_FOUND)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn stock(&self, sku: &str, on_hand: u64) -> Result<(), RestError> {
        let url = format!("{}/{sku}", self.inventory);
        let body = json!({"onHand": on_hand});
        send(self.http.put(url).json(&body)).await.map(drop)
    }
}

async fn send(request: RequestBuilder) -> Result<Response, RestError> {
    let answer = request.send().await?;
    if answer.status().is_success() {
        Ok(answer)
    } else {
        Err(RestError::Refused(answer.status()))
    }
}

async fn json_of<T: DeserializeOwned>(request: RequestBuilder) -> Result<T, RestError> {
    Ok(send(request).await?.json().await?)
}

#[cfg(test)]
mod tests {
    use axum::Json;
    use axum::extract::{Path, Request};
    use axum::http::StatusCode as Code;
    use axum::routing::{get, post, put};
    use serde_json::Value;

    use super::*;

    const ID: &str = "01927c3e-8f1a-7000-8000-0123456789ab";

    fn view(status: &str) -> Value {
        json!({"id": ID, "status": status, "version": 2, "customerId": ID, "currency": "EUR",
            "items": [], "totalAmount": 0, "createdAt": "2026-01-31T12:00:00.000Z",
            "updatedAt": "2026-01-31T12:00:00.000Z", "address": {"street": "S", "city": "C",
            "postalCode": "1", "country": "DE", "lat": 52.5, "lon": 13.4}})
    }

    /// A server with the documented forms of requests and answers, and no logic.
    fn router() -> axum::Router {
        let list = |request: Request| async move {
            let query = request.uri().query().unwrap_or_default().to_owned();
            assert!(query.contains("&limit=100"), "{query}");
            let items = if query.contains("status=IN_TRANSIT") {
                vec![view("IN_TRANSIT")]
            } else {
                Vec::new()
            };
            Json(json!({"items": items, "nextCursor": null}))
        };
        let place = |Json(body): Json<Value>| async move {
            assert_eq!(body["items"][0]["unitPrice"], 950);
            (Code::CREATED, Json(view("PENDING")))
        };
        let locate = |Path(id): Path<String>, Json(body): Json<Value>| async move {
            assert_eq!((id.as_str(), &body["lat"]), (ID, &json!(52.5)));
            Code::CONFLICT
        };
        let level = |Path(sku): Path<String>| async move {
            if sku == "NONE" {
                return Err(Code::NOT_FOUND);
            }
            Ok(Json(
                json!({"sku": sku, "onHand": 5, "reserved": 2, "available": 3}),
            ))
        };
        let stock = |Json(body): Json<Value>| async move {
            assert_eq!(body, json!({"onHand": 7}));
            Json(json!({}))
        };
        axum::Router::new()
            .route("/api/v1/orders", get(list).post(place))
            .route("/api/v1/orders/{id}/location", put(locate))
            .route(
                "/api/v1/orders/{id}/cancel",
                post(|| async { Json(view("CANCELLED")) }),
            )
            .route("/api/v1/inventory/items/{sku}", get(level).put(stock))
    }

    #[tokio::test]
    async fn requests_and_answers_have_the_documented_form() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("bound"));
        tokio::spawn(async move { axum::serve(listener, router()).await });
        let rest = HttpRest::new(&url, &url).expect("a client");
        let id: Uuid = ID.parse().expect("an id");

        let seen = rest.under_way().await.expect("listed");
        assert_eq!(
            (seen.len(), seen[0].id, seen[0].status),
            (1, id, Status::InTransit)
        );
        let to = seen[0].to.expect("has coordinates");
        let order = json!({"customerId": ID, "currency": "EUR", "address": view("X")["address"],
            "items": [{"sku": "A", "quantity": 1, "unitPrice": 950}]});
        let order: ContentV1 = serde_json::from_value(order).expect("an order");
        assert_eq!(rest.place(&order).await.expect("placed"), id);
        let error = rest.locate(id, to).await.expect_err("a conflict");
        assert!(!error.is_trouble(), "{error}");
        rest.cancel(id, "no").await.expect("cancelled");
        assert!(rest.level("NONE").await.expect("an answer").is_none());
        let level = rest.level("A").await.expect("an answer").expect("known");
        assert_eq!((level.reserved, level.available), (2, 3));
        rest.stock("A", 7).await.expect("stocked");
    }
}
