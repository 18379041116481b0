//! A whole API over doubles, and requests to it.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use trackops::api::admin::SagaAdmin;
use trackops::api::probes::readiness::Readiness;
use trackops::api::router;
use trackops::api::service::ApiService;
use trackops::api::state::{ApiState, InventoryState, ManagementState};
use trackops::api::track::TrackState;
use trackops::live::hub::Hub;
use trackops::ports::clock::SystemClock;

use super::cluster_double::Cluster;
use super::doubles::{FakeDeadLetters, MemoryOrders, MemoryOutbox};
use super::stock_double::MemoryStock;

/// The API of all roles on one port, as `dev` serves it.
pub struct Api {
    pub service: ApiService,
    pub orders: Arc<MemoryOrders>,
    pub stock: Arc<MemoryStock>,
    pub dead_letters: Arc<FakeDeadLetters>,
    pub cluster: Arc<Cluster>,
    pub readiness: Arc<Readiness>,
}

/// An answer, read whole.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Api {
    pub fn new() -> Self {
        let orders = Arc::new(MemoryOrders::default());
        let stock = Arc::new(MemoryStock::default());
        let dead_letters = Arc::new(FakeDeadLetters::default());
        let cluster = Arc::new(Cluster::default());
        let readiness = Readiness::new();
        let public = ApiState {
            orders: Arc::clone(&orders) as _,
            journal: Arc::clone(&orders) as _,
            clock: Arc::new(SystemClock),
        };
        let management = ManagementState {
            readiness: Arc::clone(&readiness),
            metrics: PrometheusBuilder::new().build_recorder().handle(),
            orders: Some(Arc::clone(&orders) as _),
            cluster: Some(Arc::clone(&cluster) as _),
            sagas: Some(SagaAdmin {
                sagas: Arc::clone(&orders) as _,
                clock: Arc::new(SystemClock),
                stuck_after: Duration::from_mins(5),
            }),
            outboxes: vec![Arc::new(MemoryOutbox)],
            dead_letters: Some(Arc::clone(&dead_letters) as _),
        };
        let stocked = InventoryState {
            stock: Arc::clone(&stock) as _,
        };
        let live = TrackState::new(
            Arc::clone(&orders) as _,
            Hub::new(),
            CancellationToken::new(),
        );
        let routes = router::public_order_routes(public)
            .merge(router::live_routes(live))
            .merge(router::public_inventory_routes(stocked))
            .merge(router::management_routes(management))
            .merge(router::document_routes())
            .merge(router::front_page_routes());
        Self {
            service: ApiService::new(routes),
            orders,
            stock,
            dead_letters,
            cluster,
            readiness,
        }
    }

    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "x");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).expect("a sound request");
        let response = self.service.handle(request).await;
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("a whole body").to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).expect("UTF-8"),
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], Body::empty()).await
    }

    pub async fn json(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.json_with(method, path, &[], body).await
    }

    pub async fn json_with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Answer {
        let mut all = vec![("content-type", "application/json")];
        all.extend_from_slice(headers);
        self.send(method, path, &all, body.to_string()).await
    }

    /// Places [`pizza`]; its id.
    pub async fn place(&self) -> String {
        let answer = self.json("POST", "/api/v1/orders", &pizza()).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.json()["id"].as_str().expect("an id").to_owned()
    }
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .get(name)
            .map(|value| value.to_str().expect("visible"))
    }

    /// Checks that it is a problem in the one form, of this status and code; its body.
    pub fn problem(&self, status: u16, code: &str, instance: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json")
        );
        let problem = self.json();
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["type"], format!("/problems/{code}"));
        assert_eq!(problem["instance"], instance);
        for text in ["title", "detail"] {
            assert!(
                problem[text].as_str().is_some_and(|text| !text.is_empty()),
                "{problem}"
            );
        }
        assert_eq!(
            self.header("retry-after").is_some(),
            status == 503 && !code.starts_with("not-")
        );
        problem
    }
}

/// The order of the vocabulary.
pub fn pizza() -> Value {
    json!({
        "customerId": "7f6c0c9e-6f0e-4a53-9d3f-2b1d6a2c9a10",
        "currency": "EUR",
        "items": [{ "sku": "PIZZA-MARGHERITA", "quantity": 2, "unitPrice": 950 }],
        "address": { "street": "Torstr. 1", "city": "Berlin", "postalCode": "10119",
            "country": "DE", "lat": 52.5, "lon": 13.4, "phone": "+49 30 1234" },
        "deliveryInstructions": "ring twice"
    })
}

/// `value` with a placeholder at each of `pointers`, for what differs from run to run. A `*` stands
/// for every item of an array.
pub fn still(mut value: Value, pointers: &[&str]) -> Value {
    for pointer in pointers {
        match pointer.split_once("/*") {
            None => *value.pointer_mut(pointer).expect("it is there") = json!("[differs]"),
            Some((array, rest)) => {
                let items = value.pointer_mut(array).and_then(Value::as_array_mut);
                for item in items.expect("an array") {
                    *item = still(item.take(), &[rest]);
                }
            }
        }
    }
    value
}
