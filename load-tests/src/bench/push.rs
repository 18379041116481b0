//! From a step's commit to its frame on the socket, with 1, 1,000 and 10,000
//! sockets that each follow an order of their own. Three times are given: what the
//! server says (commit to frame written), and what the client sees, from sending
//! the `PUT` to reading the frame and from reading the `PUT`'s answer to reading
//! the frame (0 where the frame comes first).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use uuid::Uuid;

use self::stepping::Stepping;
use self::tracker::Tracker;
use super::checks::{ensure_durable, ensure_no_violation};
use super::lifecycle::start_all;
use super::placing::Placing;
use crate::live::{Fleet, subscribe, unsubscribe};
use crate::load::{Plan, Pool, run as run_load};
use crate::report::Section;
use crate::system::{Buckets, Databases, Deployment, Metrics, Role, Settings};

mod stepping;
mod tracker;

const CONNECTIONS: usize = 64;
const PLACE_RATE: u32 = 500;
const FRAMES_MAX: Duration = Duration::from_secs(30);
const PUSHED: &str = "trackops_live_push_duration_seconds";

/// One line of the table.
#[derive(Clone, Copy)]
struct Size {
    sockets: usize,
    /// Steps a second, spread over all orders.
    rate: u32,
    /// Fresh orders on the same sockets, so that few sockets give samples enough.
    rounds: u32,
}

const FULL: [Size; 3] = [
    Size {
        sockets: 1,
        rate: 20,
        rounds: 300,
    },
    Size {
        sockets: 1_000,
        rate: 500,
        rounds: 4,
    },
    Size {
        sockets: 10_000,
        rate: 1_000,
        rounds: 1,
    },
];
const QUICK: [Size; 3] = [
    Size {
        sockets: 1,
        rate: 20,
        rounds: 10,
    },
    Size {
        sockets: 100,
        rate: 200,
        rounds: 1,
    },
    Size {
        sockets: 1_000,
        rate: 500,
        rounds: 1,
    },
];

/// Runs all sizes on one deployment.
pub async fn run(settings: &Settings, databases: &Databases) -> Result<Vec<Section>> {
    ensure_durable(settings).await?;
    let deployment = Deployment::create(settings, databases, "push").await?;
    let roles = start_all(&deployment, &[]).await?;
    let mut section = Section::new("push: commit to frame on the socket");
    let mut data = Vec::new();
    // The first minutes of a process aren't its usual ones: one size before, not reported.
    measure(&roles[0], QUICK[1], &mut Section::new("warm-up")).await?;
    for size in settings.pick(QUICK, FULL) {
        data.push(measure(&roles[0], size, &mut section).await?);
    }
    section.note(
        "each socket follows one order; steps come at a constant rate, one order after the other",
    );
    section.note("server: commit to socket by its histogram, linear within a bucket; client: the same machine and clock");
    section.data = json!(data);
    let seen: Vec<_> = roles.iter().collect();
    ensure_no_violation(&seen).await?;
    for role in roles {
        role.stop().await?;
    }
    deployment.forget_keys().await?;
    Ok(vec![section])
}

async fn measure(order: &Role, size: Size, section: &mut Section) -> Result<serde_json::Value> {
    let Size {
        sockets,
        rate,
        rounds,
    } = size;
    let tracker = Arc::new(Tracker::new());
    let fleet = Fleet::connect(order.public, sockets, Arc::clone(&tracker)).await?;
    let mut pool = Pool::open(order.public, CONNECTIONS.min(sockets)).await?;
    let mut pushed = Vec::new();
    for _ in 0..rounds {
        let orders = confirmed_orders(order.public, sockets, &fleet, &tracker, &mut pool).await?;
        let before = Metrics::read(order).await?.buckets(PUSHED);
        for status in ["PREPARING", "IN_TRANSIT", "DELIVERED"] {
            step_all(order.public, &orders, status, rate, &tracker, &mut pool).await?;
        }
        pushed.push(Metrics::read(order).await?.buckets(PUSHED).since(&before));
        for (number, id) in orders.iter().enumerate() {
            fleet.send(number, unsubscribe(*id)).await?;
        }
    }
    fleet.check()?;
    fleet.close().await;
    let seen = tracker.summary();
    eprintln!(
        "  {sockets} sockets: {} frames, PUT to frame p99 {:.2} ms",
        seen.from_sent.count, seen.from_sent.p99_ms
    );
    let server = server_side(&pushed);
    let name = format!("{sockets} sockets, {rate} steps/s");
    section.row(
        format!("{name}: commit to socket, server"),
        server.map_or("metric missing".to_owned(), |(count, p50, p99)| {
            format!("p50 {p50:.2} ms   p99 {p99:.2} ms   ({count} samples)")
        }),
    );
    section.latency(format!("{name}: PUT sent to frame read"), &seen.from_sent);
    section.latency(
        format!("{name}: PUT answered to frame read"),
        &seen.from_answer,
    );
    section.row(
        format!("{name}: frame before the answer"),
        seen.frame_first.to_string(),
    );
    Ok(json!({
        "sockets": sockets, "stepsPerSecond": rate, "rounds": rounds, "client": seen,
        "server": server.map(|(count, p50, p99)| json!({"count": count, "p50Ms": p50, "p99Ms": p99})),
    }))
}

/// Places an order for each socket, subscribes, and waits until all are CONFIRMED.
async fn confirmed_orders(
    server: SocketAddr,
    count: usize,
    fleet: &Fleet,
    tracker: &Arc<Tracker>,
    pool: &mut Pool,
) -> Result<Arc<Vec<Uuid>>> {
    let placing = Arc::new(Placing::new(server));
    let plan = Plan::counted(PLACE_RATE, u64::try_from(count)?);
    let outcome = run_load(plan, pool, Arc::clone(&placing)).await?;
    ensure!(
        outcome.is_clean(),
        "place orders to follow: {}",
        outcome.describe()
    );
    let orders = placing.orders();
    ensure!(
        orders.len() == count,
        "{} of {count} answers named their order",
        orders.len()
    );
    tracker.expect(count, "CONFIRMED");
    for (number, id) in orders.iter().enumerate() {
        fleet.send(number, subscribe(*id, 0)).await?;
    }
    tracker
        .all_seen(FRAMES_MAX * 4)
        .await
        .context("wait for CONFIRMED")?;
    Ok(Arc::new(orders))
}

/// Moves every order to `status`, at `rate` a second, and waits for every frame.
async fn step_all(
    server: SocketAddr,
    orders: &Arc<Vec<Uuid>>,
    status: &'static str,
    rate: u32,
    tracker: &Arc<Tracker>,
    pool: &mut Pool,
) -> Result<()> {
    tracker.expect(orders.len(), status);
    let stepping = Stepping {
        server,
        orders: Arc::clone(orders),
        status,
        tracker: Arc::clone(tracker),
    };
    let plan = Plan::counted(rate, u64::try_from(orders.len())?);
    let outcome = run_load(plan, pool, Arc::new(stepping)).await?;
    ensure!(
        outcome.is_clean(),
        "move orders to {status}: {}",
        outcome.describe()
    );
    tracker
        .all_seen(FRAMES_MAX)
        .await
        .with_context(|| format!("wait for {status}"))
}

/// Count, p50 and p99 in milliseconds of all rounds.
fn server_side(rounds: &[Buckets]) -> Option<(u64, f64, f64)> {
    let all = rounds
        .iter()
        .fold(Buckets::default(), |sum, round| sum.plus(round));
    Some((
        all.count(),
        all.quantile(0.5)? * 1e3,
        all.quantile(0.99)? * 1e3,
    ))
}
