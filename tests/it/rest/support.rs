//! A whole API over a real node and real stores, and requests to it.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use metrics_exporter_prometheus::PrometheusBuilder;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use trackops::actors::node::Node;
use trackops::actors::settings::Settings;
use trackops::api::admin::{AccessAdmin, SagaAdmin};
use trackops::api::client_address::Ends;
use trackops::api::counted::Limited;
use trackops::api::probes::readiness::Readiness;
use trackops::api::router;
use trackops::api::service::ApiService;
use trackops::api::site_policy::SitePolicy;
use trackops::api::state::{ApiState, InventoryState, ManagementState};
use trackops::api::track::{TrackState, TrackingState};
use trackops::auth::Auth;
use trackops::auth::api_key::{self, NewKey};
use trackops::auth::audit::AuditLog;
use trackops::auth::key_cache::KeyCache;
use trackops::auth::tracking_links::TrackingLinks;
use trackops::config::{Rates, tracking_keys};
use trackops::embedded::Embedded;
use trackops::embedded::cache::MemoryCache;
use trackops::limits::{self, RateLimiter};
use trackops::live::hub::Hub;
use trackops::model::order_request::CommandRequest;
use trackops::ports::clock::{Clock, SystemClock, uuid_v7_at};
use trackops::ports::orders::OrdersExt as _;
use trackops::ports::stock::{StockOutcome, StockRequest};
use trackops_cluster::ShardCount;
use trackops_cluster::lease::Lease;
use trackops_domain::access::{Caller, Role};
use trackops_domain::command::Command;
use trackops_domain::ids::{OrderId, Sku};
use trackops_domain::stock;
use trackops_domain::stock::item::Condition;
use trackops_domain::time::Timestamp;
use uuid::Uuid;
use xtask::servers::Scratch;

use super::cluster_double::Cluster;
use super::documented;
use super::doubles::{FailingOrders, FakeDeadLetters};
use super::tokens::issuer::FakeIssuer;
use crate::actors::rig::{self, Ports};

/// An order that waits longer is stuck.
pub const STUCK_AFTER: Duration = Duration::from_mins(5);

/// The keys of tracking links.
pub const TRACKING_KEYS: &str = "k1:of the tests only";

/// The API of all roles on one port, as `dev` serves it: on a node with all shards and on stores in a folder of
/// their own. No relay carries messages.
pub struct Api {
    pub service: ApiService,
    pub node: Arc<Node>,
    /// What is between the API and the node.
    pub orders: Arc<FailingOrders>,
    pub store: Embedded,
    pub clock: Arc<LeapingClock>,
    pub dead_letters: Arc<FakeDeadLetters>,
    pub cluster: Arc<Cluster>,
    pub readiness: Arc<Readiness>,
    /// Who has connected, for limits.
    pub peer: Option<IpAddr>,
    stop: CancellationToken,
    // Last: what has files in it, ends before.
    _dir: Scratch,
}

/// The machine's clock, which a test may put forward.
#[derive(Default)]
pub struct LeapingClock(AtomicI64);

impl LeapingClock {
    pub fn put_forward(&self, by: Duration) {
        let millis = i64::try_from(by.as_millis()).expect("a short time");
        self.0.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for LeapingClock {
    fn now(&self) -> Timestamp {
        Timestamp(SystemClock.now().0 + self.0.load(Ordering::SeqCst))
    }

    fn uuid_v7(&self) -> Uuid {
        uuid_v7_at(self.now())
    }
}

/// An answer, read whole.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Api {
    /// Answers to every name.
    pub async fn new() -> Self {
        Self::of(any_host()).await
    }

    /// Asks everybody for a key.
    pub async fn with_keys() -> Self {
        Self::start(any_host(), true, TRACKING_KEYS, None).await
    }

    /// Signs tracking links with the first of `keys`, and reads those of all.
    pub async fn with_tracking_keys(keys: &str) -> Self {
        Self::start(any_host(), false, keys, None).await
    }

    /// Answers to the names and pages of `policy`.
    pub async fn of(policy: SitePolicy) -> Self {
        Self::start(policy, false, TRACKING_KEYS, None).await
    }

    /// Asks everybody for a key, or a token of `issuer`.
    pub async fn with_issuer(issuer: Arc<FakeIssuer>) -> Self {
        Self::start(any_host(), true, TRACKING_KEYS, Some(issuer)).await
    }

    async fn start(
        policy: SitePolicy,
        is_required: bool,
        keys: &str,
        issuer: Option<Arc<FakeIssuer>>,
    ) -> Self {
        let dir = Scratch::new("rest").expect("a folder");
        let clock = Arc::new(LeapingClock::default());
        let store = Embedded::open(dir.path(), clock.clone()).await;
        let store = store.expect("a fresh store");
        let hub = Hub::new();
        let ports = Ports {
            journal: store.journal(),
            membership: store.membership(),
            cache: Arc::new(MemoryCache::new()),
            clock: clock.clone(),
            hub: hub.clone(),
            saga_route: None,
        };
        let settings = Settings {
            // Deadlines pass only where a test looks at the orders that wait.
            scan_every: Duration::from_hours(1),
            ..Settings::default()
        };
        let (node, _) = rig::start(ports, ShardCount::DEFAULT, Lease::unlimited(), settings).await;
        let orders = Arc::new(FailingOrders::new(node.clone()));
        let dead_letters = Arc::new(FakeDeadLetters::default());
        let cluster = Arc::new(Cluster::default());
        let readiness = Readiness::new();
        let links = links(keys, clock.clone());
        let public = ApiState {
            orders: orders.clone(),
            journal: store.journal(),
            clock: clock.clone(),
            links: links.clone(),
        };
        let management = ManagementState {
            readiness: readiness.clone(),
            metrics: PrometheusBuilder::new().build_recorder().handle(),
            orders: Some(orders.clone()),
            cluster: Some(cluster.clone()),
            sagas: Some(SagaAdmin {
                sagas: store.sagas(),
                clock: clock.clone(),
                stuck_after: STUCK_AFTER,
            }),
            outboxes: vec![store.orders_outbox()],
            access: Some(AccessAdmin {
                store: store.access(),
                clock: clock.clone(),
            }),
            dead_letters: Some(dead_letters.clone()),
        };
        let stocked = InventoryState {
            stock: store.stock(),
        };
        let stop = CancellationToken::new();
        let (audit, _) = AuditLog::start(store.access(), clock.clone(), stop.clone());
        let auth = if is_required {
            let keys = KeyCache::new(store.access(), clock.clone());
            tokio::spawn(Arc::clone(&keys).keep_fresh(stop.clone()));
            let tokens = issuer.map(|issuer| {
                let tokens = issuer.tokens("", clock.clone());
                tokens.keep_fresh(&stop);
                tokens
            });
            Auth::required(keys, tokens, audit)
        } else {
            Auth::open(audit)
        };
        let live = TrackState::new(orders.clone(), hub, auth.clone(), CancellationToken::new());
        let tracking = TrackingState {
            live: live.clone(),
            links,
        };
        let routes = router::public_order_routes(public)
            .merge(router::live_routes(live))
            .merge(router::tracking_routes(tracking))
            .merge(router::public_inventory_routes(stocked))
            .merge(router::management_routes(management));
        let routes = router::public(routes, !is_required, true);
        Self {
            service: ApiService::new(routes, policy, auth),
            stop,
            node,
            orders,
            store,
            clock,
            dead_letters,
            cluster,
            readiness,
            peer: None,
            _dir: dir,
        }
    }

    /// With these limits of people and addresses, behind `proxies` proxies.
    pub fn limited(mut self, people: Rates, proxies: u32) -> Self {
        let settings = limits::Settings::new(people, Rates::default());
        let limiter = RateLimiter::new(settings);
        let counting = limiter.map(|limiter| Limited { limiter, proxies });
        self.service = self.service.clone().limited(counting);
        self
    }

    fn ends(&self) -> Ends {
        Ends {
            local: None,
            peer: self.peer,
        }
    }

    /// A new key of `role`, as its holder sends it.
    pub async fn key(&self, name: &str, role: Role) -> String {
        let new = NewKey {
            name: name.into(),
            role,
            created_by: "test".into(),
            expires_at: None,
        };
        let (key, text) = api_key::create(new, self.clock.now());
        self.store.access().create_key(&key).await.expect("stored");
        format!("Bearer {}", text.expose_secret())
    }

    /// Moves an order on without a client.
    pub async fn saga(&self, id: &str, command: Command) {
        let request = CommandRequest {
            caller: Caller::Internal("inventory".into()),
            ..rig::execute(OrderId(id.parse().expect("a UUID")), command)
        };
        self.node.execute(request).await.expect("a legal step");
    }

    /// Puts so many of an item on the shelf.
    pub async fn stock(&self, sku: &str, on_hand: u64) {
        let sku = Sku::parse(sku).expect("a SKU");
        let stock = self.store.stock();
        let any = Condition::default();
        let set = stock.set_on_hand(&sku, on_hand, &any, None);
        set.await.expect("the store works");
    }

    /// Reserves stock for an order.
    pub async fn reserve(&self, order: OrderId, sku: &str, quantity: u64) {
        let request = StockRequest {
            order,
            request: stock::Request::Reserve(vec![(Sku::parse(sku).expect("a SKU"), quantity)]),
            traceparent: None,
        };
        let applied = self.store.stock().apply(&[request], self.clock.now()).await;
        let applied = applied.expect("the store works");
        assert_eq!(applied, [StockOutcome::Applied(stock::Reservation::Held)]);
    }

    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let headers = [&[("host", "x")], headers].concat();
        self.send_as_is(method, path, &headers, body).await
    }

    /// Sends no other headers than these.
    pub async fn send_as_is(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).expect("a sound request");
        let response = self.service.handle(request, self.ends()).await;
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("a whole body").to_bytes();
        let answer = Answer {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).expect("UTF-8"),
        };
        let document = documented::document(&self.service).await;
        documented::check(document, method, path, &answer);
        answer
    }

    /// The OpenAPI document of what `service` serves.
    pub async fn document_of(service: &ApiService) -> Value {
        let request = Request::get("/api/v1/openapi.json").header("host", "x");
        let request = request.body(Body::empty()).expect("a sound request");
        let body = service.handle(request, Ends::default()).await.into_body();
        let bytes = body.collect().await.expect("a whole body").to_bytes();
        serde_json::from_slice(&bytes).expect("JSON")
    }

    /// The status alone: a stream has no end.
    pub async fn status(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Body,
    ) -> StatusCode {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in [&[("host", "x")], headers].concat() {
            request = request.header(name, value);
        }
        let request = request.body(body).expect("a sound request");
        self.service.handle(request, self.ends()).await.status()
    }

    /// Where the caller stands with its limit: a stream has no end.
    pub async fn fields(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Option<String> {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from("{}")).expect("a sound request");
        let response = self.service.handle(request, self.ends()).await;
        let field = response.headers().get("ratelimit")?;
        Some(field.to_str().expect("visible").to_owned())
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

fn any_host() -> SitePolicy {
    let policy = SitePolicy::new(&["*".to_owned()], &[]);
    policy.expect("it stands for every name")
}

/// The tracking links of these keys.
pub fn links(keys: &str, clock: Arc<dyn Clock>) -> TrackingLinks {
    let keys = tracking_keys::parse(&keys.into()).expect("keys");
    TrackingLinks::new(&keys, "https://shop.example", clock)
}

impl Drop for Api {
    fn drop(&mut self) {
        self.stop.cancel();
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
        let mut problem = self.json();
        assert_eq!(problem["code"], code, "{problem}");
        // Every answer has another.
        let trace = problem.as_object_mut().and_then(|it| it.remove("traceId"));
        let trace = trace.as_ref().and_then(Value::as_str);
        assert!(trace.is_some_and(is_trace_id), "{trace:?}");
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
            (status == 503 && !code.starts_with("not-")) || code == "rate-limited"
        );
        problem
    }
}

fn is_trace_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The order of the vocabulary.
pub fn pizza() -> Value {
    json!({
        "customerId": "7f6c0c9e-6f0e-4a53-9d3f-2b1d6a2c9a10",
        "currency": "EUR",
        "items": [{ "sku": "PIZZA-MARGHERITA", "quantity": 2, "unitPrice": 950 }],
        "address": { "street": "Torstr. 1", "city": "Berlin", "postalCode": "10119",
            "country": "DE", "lat": 52.5, "lon": 13.4, "phone": "+49 30 1234" },
        "deliveryInstructions": "ring twice",
        "shopId": "mitte"
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
