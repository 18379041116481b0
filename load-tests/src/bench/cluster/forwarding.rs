//! The same request at the owner of an order and at a replica that sends it on, in turns, with one
//! request under way at a time: the difference is the hop.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Result, ensure};
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use super::aim::aim;
use super::answers::Answers;
use super::replicas::place;
use crate::http::Connection;
use crate::load::{Latencies, Summary};
use crate::numbers::{to_f64, to_u64};
use crate::order;
use crate::report::Section;
use crate::system::{Metrics, Replicas, Role, Settings};

const FORWARDED: &str = "trackops_forwarded_commands_total";
const MORE_MS_AIM: f64 = 0.3;

/// One kind of request both ways.
#[derive(Debug, Serialize)]
struct Compared {
    local: Summary,
    forwarded: Summary,
}

/// Cancels and reads of orders that the first replica owns.
pub async fn measure(
    settings: &Settings,
    replicas: &Replicas<'_>,
    answers: &mut Answers,
) -> Result<Section> {
    let warm_up = settings.pick(20, 400);
    let count = settings.pick(200, 4_000);
    let (owner, other) = (replicas.get(0)?, replicas.get(1)?);
    let orders = place(owner, count + warm_up, answers).await?;
    let warm_up = usize::try_from(warm_up)?;
    let cancels = compare(owner, other, &orders, warm_up, order::cancel).await?;
    answers.cancelled += count + u64::try_from(warm_up)?;
    let reads = compare(owner, other, &orders, warm_up, order::get).await?;

    let mut section = Section::new("cluster: a command at the owner, and over one hop");
    for (name, compared) in [("cancel", &cancels), ("GET", &reads)] {
        section.latency(format!("{name} at the owner"), &compared.local);
        section.latency(format!("{name} at another replica"), &compared.forwarded);
        let more = compared.more_ms();
        let aim = aim(more, MORE_MS_AIM, "ms");
        section.row("  more at p50", format!("{more:.3} ms ({aim})"));
    }
    section.note("a cancel is a durable write of one event; one request at a time, owner and other in turns, one connection each");
    section.note("while a commit is flushed the threads of both replicas sleep, and waking them is part of the cancel's hop; the GETs show it between threads that are awake");
    section.note(format!(
        "{FORWARDED} has grown by the requests to the other replica, and not at the owner"
    ));
    section.data = json!({
        "cancel": cancels, "get": reads, "warmUp": warm_up,
        "moreMs": {"cancel": cancels.more_ms(), "get": reads.more_ms()},
    });
    Ok(section)
}

impl Compared {
    fn more_ms(&self) -> f64 {
        self.forwarded.p50_ms - self.local.p50_ms
    }
}

async fn compare(
    owner: &Role,
    other: &Role,
    orders: &[Uuid],
    warm_up: usize,
    request: fn(SocketAddr, Uuid) -> Vec<u8>,
) -> Result<Compared> {
    let before = [forwarded(owner).await?, forwarded(other).await?];
    let sides = [owner.public, other.public];
    let mut connections = sides.map(Connection::new);
    let mut latencies = [Latencies::new(), Latencies::new()];
    let mut sent_on = 0;
    for (number, id) in orders.iter().enumerate() {
        let side = number % 2;
        let request = request(sides[side], *id);
        let sent = Instant::now();
        let response = connections[side].call(&request).await?;
        let took = sent.elapsed();
        ensure!(
            response.status == 200,
            "order {id} at {} answers {}: {}",
            sides[side],
            response.status,
            String::from_utf8_lossy(response.body)
        );
        sent_on += u64::from(side == 1);
        if number >= warm_up {
            latencies[side].record(took);
        }
    }
    let after = [forwarded(owner).await?, forwarded(other).await?];
    let grown = [after[0] - before[0], after[1] - before[1]].map(to_u64);
    ensure!(
        grown == [0, sent_on],
        "{sent_on} requests were to go over one hop, but {FORWARDED} has grown by {grown:?} at {} and {}",
        owner.name,
        other.name
    );
    let [local, forwarded] = latencies.map(|latencies| latencies.summary());
    eprintln!(
        "  p50 at the owner {:.3} ms, at another {:.3} ms; {} hops",
        local.p50_ms,
        forwarded.p50_ms,
        to_f64(sent_on)
    );
    Ok(Compared { local, forwarded })
}

/// Attempts of `role` at other owners, whatever came of them; none are no sample.
async fn forwarded(role: &Role) -> Result<f64> {
    Ok(Metrics::read(role).await?.sum(FORWARDED).unwrap_or(0.0))
}
