//! A replica is killed, and every shard of it is asked for until it answers: once for each shard, by a
//! durable command at one of the survivors.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rand::RngExt as _;
use serde::Serialize;
use serde_json::json;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::aim::aim;
use super::answers::Answers;
use super::replicas::{REPLICAS, place};
use crate::bench::checks::ensure_no_violation;
use crate::http::Connection;
use crate::load::{Latencies, Summary};
use crate::order;
use crate::report::Section;
use crate::system::{ClusterView, Replicas, Role, Settings, shard_of};

const P99_MS_AIM: f64 = 3_000.0;
const P50_MS_AIM: f64 = 1_800.0;
/// Past this the orders have not come back.
const AWAY_MAX: Duration = Duration::from_secs(60);
/// Between two attempts at an order; the survivor itself waits for a new owner much longer.
const ASK_AGAIN: Duration = Duration::from_millis(20);
/// Leases are renewed at 4/15 of 1.5 s. When a cluster is balanced is seen at a renewal, and the kill
/// must not come at the same point of it every time.
const RENEWAL_MS: u64 = 400;
/// Ids hash to shards: about 240 draws meet all 43.
const DRAWS_MAX: u64 = 4_000;
const DRAWS_AT_ONCE: u64 = 40;

/// One kill.
#[derive(Debug, Serialize)]
struct Round {
    victim: String,
    shards: usize,
    latency: Summary,
    refused: u64,
    lost: u64,
}

/// An order that has answered again.
struct Back {
    after: Duration,
    /// Answers 503 before.
    refused: u64,
    /// Attempts without an answer before.
    lost: u64,
}

/// Kills the replicas in turns.
pub async fn measure(
    settings: &Settings,
    replicas: &mut Replicas<'_>,
    answers: &mut Answers,
) -> Result<Section> {
    let mut all = Latencies::new();
    let mut rounds: Vec<Round> = Vec::new();
    for number in 0..settings.pick(2, 20) {
        let round = kill_one(replicas, number % REPLICAS, answers, &mut all).await?;
        eprintln!(
            "  {} killed: {} shards back, p50 {:.0} ms, last {:.0} ms",
            round.victim, round.shards, round.latency.p50_ms, round.latency.max_ms
        );
        rounds.push(round);
    }
    let summary = all.summary();
    let mut section = Section::new(format!(
        "cluster: takeover after kill -9, {} times",
        rounds.len()
    ));
    section.latency("kill to the first answer of an order", &summary);
    section.row("  p99", aim(summary.p99_ms, P99_MS_AIM, "ms"));
    section.row("  median", aim(summary.p50_ms, P50_MS_AIM, "ms"));
    let sum = |of: fn(&Round) -> u64| rounds.iter().map(of).sum::<u64>();
    section.row(
        "attempts before it",
        format!(
            "{} refused with 503, {} without an answer",
            sum(|round| round.refused),
            sum(|round| round.lost)
        ),
    );
    section.note("one order for each shard of the killed replica, cancelled at one of two survivors; lease 1.5 s, no other load");
    section.note(format!(
        "an attempt is held by the survivor until there is an owner; the next comes {} ms after a refusal",
        ASK_AGAIN.as_millis()
    ));
    section.data = json!({"latency": summary, "rounds": rounds});
    Ok(section)
}

async fn kill_one(
    replicas: &mut Replicas<'_>,
    number: usize,
    answers: &mut Answers,
    all: &mut Latencies,
) -> Result<Round> {
    let orders = one_for_each_shard(replicas.get(number)?, answers).await?;
    let victim = replicas.take(number)?;
    let name = victim.name.clone();
    ensure_no_violation(&[&victim]).await?;
    let phase_ms = rand::rng().random_range(0..RENEWAL_MS);
    tokio::time::sleep(Duration::from_millis(phase_ms)).await;

    let killed = victim.kill().await?;
    let survivors: Vec<SocketAddr> = replicas.up().iter().map(|role| role.public).collect();
    let mut asking = JoinSet::new();
    for (order, survivor) in orders.iter().zip(survivors.iter().cycle()) {
        asking.spawn(first_answer(*survivor, *order, killed));
    }
    let mut latencies = Latencies::new();
    let (mut refused, mut lost) = (0, 0);
    while let Some(ended) = asking.join_next().await {
        let back = ended.context("a question ended by a panic")??;
        latencies.record(back.after);
        all.record(back.after);
        refused += back.refused;
        lost += back.lost;
    }
    answers.cancelled += u64::try_from(orders.len())?;

    replicas.bring_up(number).await?;
    replicas.balanced().await?;
    Ok(Round {
        victim: name,
        shards: orders.len(),
        latency: latencies.summary(),
        refused,
        lost,
    })
}

/// A pending order for each shard of `role`. Those drawn too many are cancelled: what stays pending has
/// a deadline, and that would be other work.
async fn one_for_each_shard(role: &Role, answers: &mut Answers) -> Result<Vec<Uuid>> {
    let wanted = ClusterView::read(role).await?.shards_of(&role.name);
    let wanted = usize::try_from(wanted)?;
    ensure!(wanted > 0, "{} owns nothing", role.name);
    let mut found: BTreeMap<u16, Uuid> = BTreeMap::new();
    let mut spare = BTreeSet::new();
    let mut drawn = 0;
    while found.len() < wanted {
        ensure!(
            drawn < DRAWS_MAX,
            "{drawn} orders are in {} of {wanted} shards of {}",
            found.len(),
            role.name
        );
        for order in place(role, DRAWS_AT_ONCE, answers).await? {
            spare.extend(found.insert(shard_of(role, order).await?, order));
        }
        drawn += DRAWS_AT_ONCE;
    }
    let mut connection = Connection::new(role.public);
    for order in spare {
        let status = connection
            .call(&order::cancel(role.public, order))
            .await?
            .status;
        ensure!(status == 200, "cancel of order {order} answers {status}");
        answers.cancelled += 1;
    }
    Ok(found.into_values().collect())
}

/// Cancels `order` at `server` until that succeeds. A repeat is answered 200 like the first, so any
/// answer but that and 503 is a fault.
async fn first_answer(server: SocketAddr, order: Uuid, killed: Instant) -> Result<Back> {
    let request = order::cancel(server, order);
    let (mut refused, mut lost) = (0, 0);
    loop {
        // Each attempt has a connection of its own: one that was given up can't be used again.
        let mut connection = Connection::new(server);
        match tokio::time::timeout(AWAY_MAX, connection.call(&request)).await {
            Ok(Ok(response)) if response.status == 200 => {
                return Ok(Back {
                    after: killed.elapsed(),
                    refused,
                    lost,
                });
            }
            Ok(Ok(response)) if response.status == 503 => refused += 1,
            Ok(Ok(response)) => bail!(
                "order {order} answers {} after a kill: {}",
                response.status,
                String::from_utf8_lossy(response.body)
            ),
            Ok(Err(_)) | Err(_) => lost += 1,
        }
        ensure!(
            killed.elapsed() < AWAY_MAX,
            "order {order} is still away {AWAY_MAX:?} after the kill"
        );
        tokio::time::sleep(ASK_AGAIN).await;
    }
}
