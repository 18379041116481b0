//! Planned moves under load: a replica gives all its shards away, ends, comes back and gets its share
//! again, while clients of the others go on.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use serde_json::json;

use self::load::Load;
use self::seen::{Phase, Seen, Summaries};
use super::aim::aim;
use super::answers::Answers;
use super::replicas::{REPLICAS, place};
use crate::bench::checks::ensure_no_violation;
use crate::numbers::{per_second, to_f64, to_u64};
use crate::report::Section;
use crate::system::{Buckets, ClusterView, Metrics, Replicas, Role, Settings, drain};

mod load;
mod seen;

const LONGEST_MS_AIM: f64 = 100.0;
/// Enough that a shard of the drained replica is asked for several times a second.
const RATE_PER_SECOND: u32 = 400;
/// Orders of the drained replica that clients cancel meanwhile.
const VICTIMS_ORDERS: u64 = 2_000;
/// Load before, between and after the moves: what a command takes otherwise.
const STEADY: Duration = Duration::from_secs(2);
const DRAINED_MAX: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(5);
const HANDOFF: &str = "trackops_shard_handoff_duration_seconds";
const MOVES: &str = "trackops_shard_moves_total";

/// One replica's going and coming back.
#[derive(Debug, Serialize)]
struct Cycle {
    replica: String,
    shards_given: u64,
    drain_ms: u64,
    shards_per_second: f64,
    /// From its start until all have their share.
    return_ms: u64,
    latency: Summaries,
}

/// What the replicas themselves say of their moves.
#[derive(Default)]
struct Told {
    handoffs: Buckets,
    /// Tried and put off.
    put_off: u64,
}

/// Moves everything off each replica in turn, and back.
pub async fn measure(
    settings: &Settings,
    replicas: &mut Replicas<'_>,
    answers: &mut Answers,
) -> Result<Section> {
    let rate = settings.pick(RATE_PER_SECOND / 2, RATE_PER_SECOND);
    let (mut cycles, mut seen, mut told) = (Vec::new(), Seen::default(), Told::default());
    for number in 0..settings.pick(1, 5) {
        let orders = settings.pick(VICTIMS_ORDERS / 10, VICTIMS_ORDERS);
        let victim = number % REPLICAS;
        let orders = place(replicas.get(victim)?, orders, answers).await?;
        let staying = (0..REPLICAS).filter(|number| *number != victim);
        let staying: Vec<_> = staying
            .map(|number| Ok(replicas.get(number)?.public))
            .collect::<Result<_>>()?;
        let load = Load::start(&staying, rate, orders);
        let cycle = go_and_return(replicas, victim, &load, &mut told).await?;
        load.end(&mut seen).await?;
        eprintln!(
            "  {}: {} shards given in {} ms, longest command {:.1} ms, {} failed",
            cycle.replica,
            cycle.shards_given,
            cycle.drain_ms,
            cycle.latency.longest_ms(),
            seen.failed()
        );
        cycles.push(cycle);
    }
    seen.count_into(answers);
    Ok(section(rate, &cycles, &seen, &told))
}

async fn go_and_return(
    replicas: &mut Replicas<'_>,
    victim: usize,
    load: &Load,
    told: &mut Told,
) -> Result<Cycle> {
    tokio::time::sleep(STEADY).await;
    let leaving = replicas.get(victim)?;
    let asked = replicas.get((victim + 1) % REPLICAS)?;
    let shards_given = ClusterView::read(leaving).await?.shards_of(&leaving.name);
    let before = Metrics::read(leaving).await?;
    let drain_from = Instant::now();
    drain(asked, &leaving.name).await?;
    owns_nothing(leaving).await?;
    let drained_in = drain_from.elapsed();
    load.moved(Phase::Leaving, drain_from, Instant::now());
    told.add(&before, &Metrics::read(leaving).await?);
    ensure_no_violation(&[leaving]).await?;
    let replica = leaving.name.clone();
    replicas.take(victim)?.stop().await?;
    tokio::time::sleep(STEADY).await;

    let mut before = Vec::with_capacity(REPLICAS);
    for role in replicas.up() {
        before.push((role.name.clone(), Metrics::read(role).await?));
    }
    let return_from = Instant::now();
    replicas.bring_up(victim).await?;
    replicas.balanced().await?;
    let returned_in = return_from.elapsed();
    load.moved(Phase::Returning, return_from, Instant::now());
    for (name, before) in before {
        let up = replicas.up();
        let role = up.iter().find(|role| role.name == name);
        let role = role.with_context(|| format!("{name} is gone"))?;
        told.add(&before, &Metrics::read(role).await?);
    }
    tokio::time::sleep(STEADY).await;
    Ok(Cycle {
        replica,
        shards_given,
        drain_ms: u64::try_from(drained_in.as_millis())?,
        shards_per_second: per_second(shards_given, drained_in),
        return_ms: u64::try_from(returned_in.as_millis())?,
        latency: load.summaries(),
    })
}

/// Waits until `role` knows that nothing is its own any more.
async fn owns_nothing(role: &Role) -> Result<()> {
    let deadline = Instant::now() + DRAINED_MAX;
    loop {
        let left = ClusterView::read(role).await?.shards_of(&role.name);
        if left == 0 {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "{} still owns {left} shards after {DRAINED_MAX:?}",
            role.name
        );
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

impl Told {
    fn add(&mut self, before: &Metrics, after: &Metrics) {
        let handoffs = after.buckets(HANDOFF).since(&before.buckets(HANDOFF));
        let moves = after.sum(MOVES).unwrap_or(0.0) - before.sum(MOVES).unwrap_or(0.0);
        self.put_off += to_u64(moves).saturating_sub(handoffs.count());
        self.handoffs = self.handoffs.plus(&handoffs);
    }
}

fn section(rate: u32, cycles: &[Cycle], seen: &Seen, told: &Told) -> Section {
    let mut section = Section::new(format!(
        "cluster: planned moves under {} commands/s, {} times away and back",
        rate,
        cycles.len()
    ));
    let latency = seen.summaries();
    section.latency("commands while a replica gives all away", &latency.leaving);
    section.latency("commands while it comes back", &latency.returning);
    let longest = latency.longest_ms();
    let aim = aim(longest, LONGEST_MS_AIM, "ms");
    section.row("  longest of both", format!("{longest:.1} ms ({aim})"));
    section.latency("commands otherwise", &latency.steady);
    section.row("failed requests", seen.failures());
    section.row(
        "longest hand-off of a shard",
        match told.handoffs.longest() {
            Some(seconds) => format!(
                "at most {:.1} ms, of {}; {} put off",
                seconds * 1e3,
                told.handoffs.count(),
                told.put_off
            ),
            None => "metric missing".to_owned(),
        },
    );
    let given: u64 = cycles.iter().map(|cycle| cycle.shards_given).sum();
    let returned: u64 = cycles.iter().map(|cycle| cycle.return_ms).sum();
    let took: u64 = cycles.iter().map(|cycle| cycle.drain_ms).sum();
    section.row(
        "shards moved a second",
        format!(
            "{:.0} ({given} in {took} ms of draining)",
            per_second(given, Duration::from_millis(took))
        ),
    );
    section.row(
        "back with its share",
        format!(
            "{:.0} ms after the start of the process",
            to_f64(returned) / to_f64(cycles.len() as u64)
        ),
    );
    section.note("a quarter of the commands place, the others cancel, at first orders of the drained replica; at the two that stay; latency from the intended send time");
    section.note("drained by POST …/drain (until it owns nothing), ended by SIGTERM, started again (until all have their share): the process's own start is on the same cores");
    section.note("a hand-off is hold, drain, claim and hand-over as the giving replica counts it: the upper bound of the highest bucket reached");
    section.data = json!({
        "latency": latency, "longestMs": longest, "cycles": cycles, "ratePerSecond": rate,
        "failed": seen.failed(), "handoffs": told.handoffs.count(),
        "longestHandoffSecondsAtMost": told.handoffs.longest(), "putOff": told.put_off,
    });
    section
}
