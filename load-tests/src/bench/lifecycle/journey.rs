//! One order's way from `POST` to DELIVERED, and many of them at once.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::http::Connection;
use crate::live::{Fleet, Frame, Sink, subscribe, unsubscribe};
use crate::load::{Latencies, Schedule, Summary, Traffic as _};
use crate::numbers::per_second;
use crate::order::{PlaceOrders, placed_id, put_status};

/// A few sockets follow all orders, as a dashboard would.
const SOCKETS: usize = 4;
const CONFIRMED_MAX: Duration = Duration::from_mins(1);

/// The sockets that all journeys share.
pub struct Journeys {
    server: SocketAddr,
    fleet: Arc<Fleet>,
    waiting: Arc<Waiting>,
}

/// What came of many journeys.
#[derive(Debug, serde::Serialize)]
pub struct Travelled {
    pub count: u64,
    pub per_second: f64,
    pub confirmed: Summary,
    pub delivered: Summary,
}

/// Journeys that wait for their order's CONFIRMED.
#[derive(Default)]
struct Waiting(Mutex<HashMap<Uuid, oneshot::Sender<Result<Instant, String>>>>);

struct Shared {
    schedule: Schedule,
    orders: PlaceOrders,
    times: Mutex<(Latencies, Latencies)>,
}

impl Sink for Waiting {
    fn frame(&self, frame: &Frame<'_>, at: Instant) {
        let news = match (frame.kind.as_ref(), frame.status()) {
            (_, Some("PENDING")) | ("location", _) => return,
            (_, Some("REJECTED" | "CANCELLED")) | ("error", _) => Err(format!("{frame:?}")),
            _ => Ok(at),
        };
        let Some(order) = frame.order_id else { return };
        let waiting = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&order);
        if let Some(waiting) = waiting {
            // A journey that gave up has already reported why.
            let _ = waiting.send(news);
        }
    }
}

impl Journeys {
    /// Opens the sockets.
    pub async fn connect(server: SocketAddr) -> Result<Self> {
        let waiting = Arc::new(Waiting::default());
        let fleet = Arc::new(Fleet::connect(server, SOCKETS, Arc::clone(&waiting)).await?);
        Ok(Self {
            server,
            fleet,
            waiting,
        })
    }

    /// Sends `count` orders on their way, at `rate` a second (0: as soon as one of
    /// `under_way_max` has arrived). The first failure fails all.
    pub async fn travel(&self, rate: u32, count: u64, under_way_max: usize) -> Result<Travelled> {
        let start = Instant::now();
        let schedule = Schedule::new(start, rate, count);
        let times = Mutex::new((Latencies::new(), Latencies::new()));
        let shared = Arc::new(Shared {
            schedule,
            orders: PlaceOrders::new(self.server),
            times,
        });
        let mut travellers = JoinSet::new();
        for number in 0..under_way_max {
            let (fleet, waiting) = (Arc::clone(&self.fleet), Arc::clone(&self.waiting));
            let traveller = Traveller {
                number,
                from_due: rate > 0,
                server: self.server,
                connection: Connection::new(self.server),
                fleet,
                waiting,
            };
            travellers.spawn(traveller.travel_all(Arc::clone(&shared)));
        }
        while let Some(ended) = travellers.join_next().await {
            ended.context("a journey ended by a panic")??;
        }
        let elapsed = start.elapsed();
        let times = shared.times.lock().unwrap_or_else(PoisonError::into_inner);
        let (confirmed, delivered) = (times.0.summary(), times.1.summary());
        let per_second = per_second(delivered.count, elapsed);
        eprintln!(
            "  {} delivered, {per_second:.0}/s, POST to CONFIRMED p99 {:.1} ms",
            delivered.count, confirmed.p99_ms
        );
        Ok(Travelled {
            count: delivered.count,
            per_second,
            confirmed,
            delivered,
        })
    }

    /// Checks and closes the sockets.
    pub async fn close(self) -> Result<()> {
        self.fleet.check()?;
        if let Ok(fleet) = Arc::try_unwrap(self.fleet) {
            fleet.close().await;
        }
        Ok(())
    }
}

/// Takes one order after the other on its way.
struct Traveller {
    number: usize,
    from_due: bool,
    server: SocketAddr,
    connection: Connection,
    fleet: Arc<Fleet>,
    waiting: Arc<Waiting>,
}

impl Traveller {
    async fn travel_all(mut self, shared: Arc<Shared>) -> Result<()> {
        let mut rng = SmallRng::seed_from_u64(rand::random());
        let mut request = Vec::new();
        while let Some(slot) = shared.schedule.take() {
            tokio::time::sleep_until(slot.due.into()).await;
            let from = if self.from_due {
                slot.due
            } else {
                Instant::now()
            };
            request.clear();
            shared.orders.request(slot.number, &mut rng, &mut request);
            let (confirmed, delivered) = self.travel(&request).await?;
            let mut times = shared.times.lock().unwrap_or_else(PoisonError::into_inner);
            times.0.record(confirmed.saturating_duration_since(from));
            times.1.record(delivered.saturating_duration_since(from));
        }
        Ok(())
    }

    /// One order; when it was seen CONFIRMED, and when DELIVERED was answered.
    async fn travel(&mut self, place: &[u8]) -> Result<(Instant, Instant)> {
        let response = self.connection.call(place).await?;
        ensure!(
            response.status == 201,
            "POST answers {}: {}",
            response.status,
            String::from_utf8_lossy(response.body)
        );
        let id = placed_id(&response).context("201 without an id in Location")?;
        let (sender, receiver) = oneshot::channel();
        self.waiting
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, sender);
        // From version 1 on: a confirmation that was faster than this comes at once.
        self.fleet.send(self.number, subscribe(id, 1)).await?;
        let confirmed = match tokio::time::timeout(CONFIRMED_MAX, receiver).await {
            Ok(Ok(Ok(at))) => at,
            Ok(Ok(Err(news))) => bail!("order {id} was not confirmed: {news}"),
            Ok(Err(_)) => bail!("the WebSocket of order {id} is gone"),
            Err(_) => bail!("order {id} was not CONFIRMED after {CONFIRMED_MAX:?}"),
        };
        self.fleet.send(self.number, unsubscribe(id)).await?;
        for status in ["PREPARING", "IN_TRANSIT", "DELIVERED"] {
            let response = self
                .connection
                .call(&put_status(self.server, id, status))
                .await?;
            let (code, body) = (response.status, String::from_utf8_lossy(response.body));
            ensure!(
                code == 200,
                "PUT {status} of order {id} answers {code}: {body}"
            );
        }
        Ok((confirmed, Instant::now()))
    }
}
