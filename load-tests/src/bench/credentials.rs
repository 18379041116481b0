//! What it costs to ask who places an order: the order role alone at full speed, where nobody needs a credential,
//! with an API key, and with an access token. The three take turns, because the machine is another one a few minutes
//! later.

mod issuer;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use rand::rngs::SmallRng;
use serde_json::json;

use super::checks::{NO_TIME_OUT, ensure_durable, ensure_no_violation};
use super::place::CONNECTIONS;
use super::server_log::{checkpoint, prepare};
use crate::http::Response;
use crate::load::{Plan, Pool, Timing, Traffic, run as run_load};
use crate::numbers::median;
use crate::order::PlaceOrders;
use crate::report::Section;
use crate::system::{Databases, Deployment, Role, Settings};
use issuer::Issuer;

/// How long each round loads one of them.
const ROUND: Duration = Duration::from_secs(8);
const ROUNDS: usize = 7;

/// Lets the three take turns.
pub async fn run(settings: &Settings, databases: &Databases) -> Result<Vec<Section>> {
    ensure_durable(settings).await?;
    prepare(settings).await?;
    let issuer = Issuer::start().await?;
    let mut subjects = Vec::new();
    for way in [Way::Open, Way::Key, Way::Token] {
        let deployment = Deployment::create(settings, databases, way.name()).await?;
        subjects.push(Subject::start(way, deployment, &issuer).await?);
    }
    for round in 0..settings.pick(2, ROUNDS) {
        // Who comes first, comes last next time.
        for number in 0..subjects.len() {
            let place = (number + round) % subjects.len();
            checkpoint(settings).await?;
            subjects[place].load(settings).await?;
        }
    }
    let mut section = Section::new("credentials: order role alone, full speed");
    let open = middle(&subjects[0].rates);
    let open_cpu = middle(&subjects[0].cpu_us);
    for subject in &subjects {
        let (rate, cpu_us) = (middle(&subject.rates), middle(&subject.cpu_us));
        section.row(
            subject.way.name(),
            format!(
                "{rate:.0} orders/s, {:.3} of open; {cpu_us:.0} µs of CPU an order, {:.3} of open",
                rate / open,
                cpu_us / open_cpu
            ),
        );
        section.data[subject.way.name()] =
            json!({ "ordersPerSecond": subject.rates, "cpuMicrosAnOrder": subject.cpu_us });
    }
    section.note(format!(
        "medians of {} rounds of {} s each, in turns; {CONNECTIONS} connections; one credential",
        subjects[0].rates.len(),
        ROUND.as_secs()
    ));
    for subject in subjects {
        ensure_no_violation(&[&subject.order]).await?;
        subject.order.stop().await?;
        subject.deployment.forget_keys().await?;
    }
    Ok(vec![section])
}

/// How callers say who they are.
#[derive(Clone, Copy)]
enum Way {
    Open,
    Key,
    Token,
}

impl Way {
    const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Key => "key",
            Self::Token => "token",
        }
    }
}

/// One order role, and what was measured at it.
struct Subject<'a> {
    way: Way,
    deployment: Deployment<'a>,
    order: Role,
    pool: Pool,
    orders: Arc<Signed>,
    rates: Vec<f64>,
    cpu_us: Vec<f64>,
}

impl<'a> Subject<'a> {
    async fn start(way: Way, deployment: Deployment<'a>, issuer: &Issuer) -> Result<Self> {
        let credential = match way {
            Way::Open => None,
            Way::Key => {
                let create = ["keys", "create", "--name", "bench", "--role", "service"];
                Some(deployment.run(&create).await?.trim().to_owned())
            }
            Way::Token => Some(issuer.token()?),
        };
        let auth = if credential.is_some() {
            "required"
        } else {
            "open"
        };
        let extra = [
            NO_TIME_OUT,
            ("TRACKOPS_AUTH", auth),
            ("TRACKOPS_OIDC_ISSUERS", &issuer.configuration),
        ];
        let order = deployment.start("order", &extra).await?;
        Ok(Self {
            way,
            pool: Pool::open(order.public, CONNECTIONS).await?,
            orders: Arc::new(Signed::new(order.public, credential.as_deref())),
            deployment,
            order,
            rates: Vec::new(),
            cpu_us: Vec::new(),
        })
    }

    async fn load(&mut self, settings: &Settings) -> Result<()> {
        let plan = Plan::full_speed(settings.pick(ROUND / 4, ROUND));
        let before = self.order.cpu_seconds()?;
        let outcome = run_load(plan, &mut self.pool, Arc::clone(&self.orders)).await?;
        let used = self.order.cpu_seconds()? - before;
        anyhow::ensure!(
            outcome.refused.is_empty() && outcome.accepted > 0,
            "{}: {outcome:?}",
            self.way.name()
        );
        // Far below the integers that a float holds exactly.
        #[expect(clippy::cast_precision_loss, reason = "a count of a few seconds")]
        self.cpu_us.push(used * 1e6 / outcome.accepted as f64);
        self.rates.push(outcome.rate);
        Ok(())
    }
}

/// Orders with a credential, or without.
struct Signed {
    orders: PlaceOrders,
    header: Vec<u8>,
}

impl Signed {
    fn new(server: SocketAddr, credential: Option<&str>) -> Self {
        let header = credential.map(|it| format!("\r\nauthorization: Bearer {it}"));
        Self {
            orders: PlaceOrders::new(server),
            header: header.unwrap_or_default().into_bytes(),
        }
    }
}

impl Traffic for Signed {
    fn request(&self, slot: u64, rng: &mut SmallRng, request: &mut Vec<u8>) {
        let start = request.len();
        self.orders.request(slot, rng, request);
        let line_end = request[start..].windows(2).position(|two| two == b"\r\n");
        if let Some(at) = line_end {
            let at = start + at;
            request.splice(at..at, self.header.iter().copied());
        }
    }

    fn answered(&self, slot: u64, timing: Timing, response: &Response<'_>) {
        self.orders.answered(slot, timing, response);
    }
}

fn middle(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    median(&sorted)
}
