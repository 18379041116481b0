//! Runs a schedule over a pool of connections and counts what comes back.
//!
//! One task per connection on one thread: a slot is taken by a free connection,
//! which waits until it is due (tokio's timer, 1 ms steps, rounded up: up to 1 ms
//! of every latency here is the generator's own).

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use tokio::task::JoinSet;

use super::{Latencies, Outcome, Plan, Schedule};
use crate::http::{CallError, Connection, Response};
use crate::numbers::per_second;

/// How long the last answers may take once nothing more is sent.
const STRAGGLERS_MAX: Duration = Duration::from_mins(1);

/// What is sent, and who wants to know of the answers.
pub trait Traffic: Send + Sync + 'static {
    /// Writes the request of slot `slot` into `request`, which is empty. It is
    /// sent right after.
    fn request(&self, slot: u64, rng: &mut SmallRng, request: &mut Vec<u8>);

    /// Called with each answer.
    fn answered(&self, _slot: u64, _timing: Timing, _response: &Response<'_>) {}
}

/// The moments of one request.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// When it should have been sent; without a rate, when it was.
    pub due: Instant,
    /// When its answer was there.
    pub answered: Instant,
}

/// Open connections, kept between runs.
pub struct Pool(Vec<Connection>);

struct Shared<T> {
    plan: Plan,
    schedule: Schedule,
    traffic: Arc<T>,
    tally: Mutex<Tally>,
}

struct Tally {
    outcome: Outcome,
    latencies: Latencies,
    last_answer: Instant,
}

impl Pool {
    /// Opens `size` connections.
    pub async fn open(address: SocketAddr, size: usize) -> Result<Self> {
        let mut pool = Vec::with_capacity(size);
        for _ in 0..size {
            let mut connection = Connection::new(address);
            connection
                .open()
                .await
                .with_context(|| format!("connect to {address}"))?;
            pool.push(connection);
        }
        Ok(Self(pool))
    }
}

/// Runs `plan` over all connections of the pool and waits for every answer.
pub async fn run<T: Traffic>(plan: Plan, pool: &mut Pool, traffic: Arc<T>) -> Result<Outcome> {
    let start = Instant::now();
    let slots = plan.warm_up_slots.saturating_add(plan.measured_slots);
    let tally = Tally {
        outcome: Outcome::default(),
        latencies: Latencies::new(),
        last_answer: start,
    };
    let ends = plan.ends_after.map(|time| start + time);
    let schedule = Schedule::new(start, plan.rate, slots).ending(ends);
    let shared = Arc::new(Shared {
        plan,
        schedule,
        traffic,
        tally: Mutex::new(tally),
    });
    let mut senders = JoinSet::new();
    for connection in pool.0.drain(..) {
        senders.spawn(send_due(
            Arc::clone(&shared),
            connection,
            SmallRng::seed_from_u64(rand::random()),
        ));
    }
    // As fast as it goes and without an end: nobody knows how long that takes.
    let last_due = match ends {
        None if plan.rate == 0 => None,
        None => Some(shared.schedule.due(slots)),
        ends => ends,
    };
    let deadline = last_due.map(|due| due + STRAGGLERS_MAX + plan.lag_max.unwrap_or_default());
    while let Some(ended) = join_next(&mut senders, deadline).await? {
        pool.0.push(ended);
    }
    let mut tally = lock(&shared.tally);
    let measured_from = shared.schedule.due(plan.warm_up_slots);
    let elapsed = tally.last_answer.saturating_duration_since(measured_from);
    let mut outcome = std::mem::take(&mut tally.outcome);
    outcome.not_sent += shared.schedule.not_taken();
    outcome.rate = per_second(tally.latencies.count(), elapsed);
    outcome.latency = tally.latencies.summary();
    Ok(outcome)
}

/// The next sender to end. By the deadline, a sender that hangs fails the run: its request's outcome
/// would never be known, and the counts couldn't be compared.
async fn join_next(
    senders: &mut JoinSet<Connection>,
    deadline: Option<Instant>,
) -> Result<Option<Connection>> {
    let ended = match deadline {
        None => senders.join_next().await,
        Some(deadline) => {
            match tokio::time::timeout_at(deadline.into(), senders.join_next()).await {
                Ok(ended) => ended,
                Err(_) => bail!(
                    "{} requests have no answer after {STRAGGLERS_MAX:?}",
                    senders.len()
                ),
            }
        }
    };
    ended.transpose().context("a sender ended by a panic")
}

async fn send_due<T: Traffic>(
    shared: Arc<Shared<T>>,
    mut connection: Connection,
    mut rng: SmallRng,
) -> Connection {
    let mut request = Vec::with_capacity(2048);
    while let Some(slot) = shared.schedule.take() {
        let late = Instant::now().saturating_duration_since(slot.due);
        if late.is_zero() {
            tokio::time::sleep_until(slot.due.into()).await;
        } else if shared.plan.lag_max.is_some_and(|lag_max| late > lag_max) {
            shared.schedule.close();
            lock(&shared.tally).outcome.not_sent += 1;
            break;
        }
        request.clear();
        shared.traffic.request(slot.number, &mut rng, &mut request);
        let due = if shared.plan.rate == 0 {
            Instant::now()
        } else {
            slot.due
        };
        let answer = connection.call(&request).await;
        let timing = Timing {
            due,
            answered: Instant::now(),
        };
        let timed = slot.number >= shared.plan.warm_up_slots;
        count(&mut lock(&shared.tally), &answer, timing, timed);
        if let Ok(response) = &answer {
            shared.traffic.answered(slot.number, timing, response);
        }
    }
    connection
}

fn count(tally: &mut Tally, answer: &Result<Response<'_>, CallError>, timing: Timing, timed: bool) {
    let outcome = &mut tally.outcome;
    tally.last_answer = tally.last_answer.max(timing.answered);
    match answer {
        Ok(response) if (200..300).contains(&response.status) => {
            outcome.accepted += 1;
            if timed {
                tally
                    .latencies
                    .record(timing.answered.saturating_duration_since(timing.due));
            }
        }
        Ok(response) => {
            *outcome.refused.entry(response.status).or_default() += 1;
            outcome
                .error
                .get_or_insert_with(|| String::from_utf8_lossy(response.body).into_owned());
        }
        Err(error) => {
            match error {
                CallError::NotSent(_) => outcome.not_sent += 1,
                CallError::Unknown(_) => outcome.unknown += 1,
            }
            outcome.error.get_or_insert_with(|| error.to_string());
        }
    }
}

fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
