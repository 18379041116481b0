//! A raw client of REST: it sends what it is given, wrong requests too, once, and gives every answer whole, the
//! refusals too. What a program should use is `trackops_client`, which `tests/it/rest/typed_client.rs` tests.

use std::time::Duration;

use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use uuid::Uuid;

/// Base URLs of a system, whichever processes answer there.
#[derive(Clone, Debug)]
pub struct Endpoints {
    /// The order role's public listener.
    pub order: String,
    /// The inventory's.
    pub inventory: String,
    /// The order role's management listener.
    pub order_management: String,
    /// The inventory's.
    pub inventory_management: String,
    /// The relay's.
    pub relay_management: String,
}

/// An answer, taken in whole.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// The body's JSON; null if it is none.
    pub body: Value,
}

impl Answer {
    /// A header's value; empty if it isn't there.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or("")
    }

    /// The view's version.
    pub fn version(&self) -> u32 {
        let version = self.body["version"].as_u64().expect("a view's version");
        u32::try_from(version).expect("a small version")
    }

    /// The view's id.
    pub fn id(&self) -> Uuid {
        let id = self.body["id"].as_str().expect("a view's id");
        id.parse().expect("a UUID")
    }

    /// A text field of the body; empty if it isn't there.
    pub fn text(&self, field: &str) -> &str {
        self.body[field].as_str().unwrap_or("")
    }

    /// Fails unless it has this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:#?}");
        self
    }
}

/// A client with connections of its own.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    /// Whom it talks to.
    pub to: Endpoints,
}

impl Client {
    /// A client of `to`.
    pub fn new(to: Endpoints) -> Self {
        let http = reqwest::Client::builder()
            // Longer than the server's own limits, which answer first.
            .timeout(Duration::from_secs(30))
            .build()
            .expect("build a client");
        Self { http, to }
    }

    /// The same client of another replica's public address.
    pub fn of_order(&self, order: &str) -> Self {
        let mut other = self.clone();
        order.clone_into(&mut other.to.order);
        other
    }

    /// Sends a request. An error means that no answer came.
    pub async fn send(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Answer, reqwest::Error> {
        let mut request = self.http.request(method.clone(), url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(body);
        } else if method == Method::POST {
            // Otherwise any page could have a browser send it.
            request = request.header("content-type", "application/json");
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok(Answer {
            status,
            headers,
            body,
        })
    }

    /// Sends raw bytes, for bodies that are no JSON.
    pub async fn send_raw(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Vec<u8>,
    ) -> Answer {
        let request = self
            .http
            .request(method, format!("{}{path}", self.to.order));
        let response = request
            .header("content-type", content_type)
            .body(body)
            .send()
            .await
            .expect("an answer");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.json().await.unwrap_or(Value::Null);
        Answer {
            status,
            headers,
            body,
        }
    }

    /// A request to the order role that must be answered.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Answer {
        let url = format!("{}{path}", self.to.order);
        let sent = self.send(method, &url, headers, body).await;
        sent.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// `GET` of a path of the order role.
    pub async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, &[], None).await
    }

    /// `GET /orders/{id}`.
    pub async fn show(&self, id: Uuid) -> Answer {
        self.get(&format!("/api/v1/orders/{id}")).await
    }

    /// `POST /orders`.
    pub async fn place(&self, body: &Value, key: Option<&str>) -> Answer {
        let headers: Vec<_> = key
            .map(|key| ("idempotency-key", key))
            .into_iter()
            .collect();
        self.call(Method::POST, "/api/v1/orders", &headers, Some(body))
            .await
    }

    /// `PUT /orders/{id}/status`.
    pub async fn advance(&self, id: Uuid, status: &str, headers: &[(&str, &str)]) -> Answer {
        let path = format!("/api/v1/orders/{id}/status");
        self.call(
            Method::PUT,
            &path,
            headers,
            Some(&json!({"status": status})),
        )
        .await
    }

    /// `POST /orders/{id}/cancel`.
    pub async fn cancel(&self, id: Uuid, reason: &str) -> Answer {
        let path = format!("/api/v1/orders/{id}/cancel");
        self.call(Method::POST, &path, &[], Some(&json!({"reason": reason})))
            .await
    }

    /// `PUT /orders/{id}/location`.
    pub async fn locate(&self, id: Uuid, lat: f64, lon: f64) -> Answer {
        let path = format!("/api/v1/orders/{id}/location");
        self.call(
            Method::PUT,
            &path,
            &[],
            Some(&json!({"lat": lat, "lon": lon})),
        )
        .await
    }

    /// Sets what is on hand of an item.
    pub async fn stock(&self, sku: &str, on_hand: u64) -> Answer {
        let url = format!("{}/api/v1/inventory/items/{sku}", self.to.inventory);
        let body = json!({"onHand": on_hand});
        let sent = self.send(Method::PUT, &url, &[], Some(&body)).await;
        sent.expect("the inventory answers")
    }

    /// `GET` of a full URL that must be answered.
    pub async fn fetch(&self, url: &str) -> Answer {
        let sent = self.send(Method::GET, url, &[], None).await;
        sent.unwrap_or_else(|error| panic!("{url}: {error}"))
    }

    /// The text of `/metrics` of a management listener; `None` if nobody answers.
    pub async fn metrics(&self, management: &str) -> Option<String> {
        let response = self.http.get(format!("{management}/metrics")).send().await;
        response.ok()?.text().await.ok()
    }

    /// Waits until the order has `status`, and gives its view.
    pub async fn reaches(&self, id: Uuid, status: &str) -> Answer {
        super::wait::until(&format!("order {id} reaches {status}"), || async {
            let answer = self.show(id).await;
            (answer.text("status") == status).then_some(answer)
        })
        .await
    }
}
