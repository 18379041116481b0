//! The requests of the shop to the order and inventory services, by the client of the API. The shop itself tries
//! again what failed, with a longer patience than a request's.

use std::time::Duration;

use async_trait::async_trait;
use trackops_client::{
    Client, Error, OrderContent, OrderFilter, OrderView, PageRequest, Position, RetryPolicy,
    WriteOptions,
};
use trackops_domain::status::Status;
use uuid::Uuid;

use super::places::Point;
use super::schedule::Seen;

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

/// Whether a failure is the server's, not the request's.
pub fn is_trouble(error: &Error) -> bool {
    match error.status() {
        Some(429) | None => true,
        Some(status) => !(400..500).contains(&status),
    }
}

/// The stock of an item.
#[derive(Clone, Copy, Debug)]
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
    async fn under_way(&self) -> Result<Vec<Seen>, Error>;

    /// Places an order.
    async fn place(&self, order: &OrderContent) -> Result<Uuid, Error>;

    /// Cancels one.
    async fn cancel(&self, order: Uuid, reason: &str) -> Result<(), Error>;

    /// Tells where its courier is.
    async fn locate(&self, order: Uuid, at: Point) -> Result<(), Error>;

    /// The stock of an item; `None` for an unknown item.
    async fn level(&self, sku: &str) -> Result<Option<Level>, Error>;

    /// Sets the quantity on hand.
    async fn stock(&self, sku: &str, on_hand: u64) -> Result<(), Error>;
}

/// The services over HTTP.
pub struct HttpRest {
    orders: Client,
    inventory: Client,
}

impl HttpRest {
    /// Clients of the services at these base URLs.
    pub fn new(url: &str, inventory_url: &str) -> Result<Self, Error> {
        let client = |url: &str| {
            let builder = Client::builder(url).timeout(REQUEST_TIMEOUT);
            builder.retry(RetryPolicy::none()).build()
        };
        Ok(Self {
            orders: client(url)?,
            inventory: client(inventory_url)?,
        })
    }
}

#[async_trait]
impl Rest for HttpRest {
    async fn under_way(&self) -> Result<Vec<Seen>, Error> {
        let mut found = Vec::new();
        for status in UNDER_WAY {
            let filter = OrderFilter {
                statuses: vec![status.as_str().into()],
                ..OrderFilter::default()
            };
            let page = PageRequest::first(LOOK_MAX);
            let page = self.orders.orders(&filter, &page).await?.value;
            found.extend(page.items.iter().filter_map(seen));
        }
        Ok(found)
    }

    async fn place(&self, order: &OrderContent) -> Result<Uuid, Error> {
        let placed = self.orders.place(order, WriteOptions::unkeyed()).await?;
        Ok(placed.value.id)
    }

    async fn cancel(&self, order: Uuid, reason: &str) -> Result<(), Error> {
        let options = WriteOptions::unkeyed();
        let cancelled = self.orders.cancel(order, Some(reason), options).await;
        cancelled.map(drop)
    }

    async fn locate(&self, order: Uuid, at: Point) -> Result<(), Error> {
        let position = Position {
            lat: at.lat,
            lon: at.lon,
            at: None,
        };
        let options = WriteOptions::unkeyed();
        let located = self.orders.locate(order, &position, options).await;
        located.map(drop)
    }

    async fn level(&self, sku: &str) -> Result<Option<Level>, Error> {
        match self.inventory.item(sku).await {
            Ok(item) => Ok(Some(Level {
                reserved: item.value.reserved,
                available: item.value.available,
            })),
            Err(error) if error.status() == Some(404) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn stock(&self, sku: &str, on_hand: u64) -> Result<(), Error> {
        let options = WriteOptions::unkeyed();
        let stocked = self.inventory.set_on_hand(sku, on_hand, options).await;
        stocked.map(drop)
    }
}

/// The order as the shop sees it; `None` for a status that it doesn't know.
fn seen(view: &OrderView) -> Option<Seen> {
    let address = &view.content.address;
    Some(Seen {
        id: view.id,
        status: Status::parse(view.status.as_str())?,
        version: view.version,
        to: address
            .lat
            .zip(address.lon)
            .map(|(lat, lon)| Point { lat, lon }),
    })
}

#[cfg(test)]
mod tests {
    use axum::Json;
    use axum::extract::{Path, Request};
    use axum::http::StatusCode as Code;
    use axum::routing::{get, post, put};
    use serde_json::{Value, json};

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
                json!({"sku": sku, "onHand": 5, "reserved": 2, "available": 3, "version": 1}),
            ))
        };
        let stock = |Json(body): Json<Value>| async move {
            assert_eq!(body, json!({"onHand": 7}));
            Json(json!({"sku": "A", "onHand": 7, "reserved": 2, "available": 5, "version": 2}))
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
        let order: OrderContent = serde_json::from_value(order).expect("an order");
        assert_eq!(rest.place(&order).await.expect("placed"), id);
        let error = rest.locate(id, to).await.expect_err("a conflict");
        assert!(!is_trouble(&error), "{error}");
        rest.cancel(id, "no").await.expect("cancelled");
        assert!(rest.level("NONE").await.expect("an answer").is_none());
        let level = rest.level("A").await.expect("an answer").expect("known");
        assert_eq!((level.reserved, level.available), (2, 3));
        rest.stock("A", 7).await.expect("stocked");
    }
}
