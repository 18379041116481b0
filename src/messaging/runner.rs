//! The consumer loop. One task owns the consumer; handlers run beside it, so that polling, and with
//! it membership of the group, never waits for them.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::desk::Desk;
use super::handler::Handler;
use super::lane::LaneKey;
use super::work::Work;
use crate::faults;
use crate::ports::bus::{Bus, BusError, Consumer, InMessage, Polled, Subscription};
use crate::ports::clock::Clock;
use crate::telemetry::names;

/// How long a message that came too early is tried again: what it waits for comes within seconds,
/// or never.
pub const RETRY_LIMIT: Duration = Duration::from_secs(30);

/// How long a message is tried again for which there was no room: a restart with all its backlog
/// fits in.
pub const BUSY_LIMIT: Duration = Duration::from_mins(5);

/// Messages of one poll.
const POLL_MAX: usize = 500;
/// Longest wait in a poll: commits, pauses and the end come between two polls.
const POLL_WAIT: Duration = Duration::from_millis(100);
/// Between commits: what a crash repeats, against what a commit costs.
const COMMIT_EVERY: Duration = Duration::from_millis(100);
/// Between looks at the lag, which asks the bus about every partition.
const LAG_EVERY: Duration = Duration::from_secs(5);
/// How long what is being handled may take to finish when the runner ends.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// While the bus is away.
const BUS_AWAY: Backoff = Backoff {
    first: Duration::from_millis(100),
    cap: Duration::from_secs(2),
};

/// How much is handled at once.
#[derive(Clone, Copy, Debug)]
pub struct RunnerSettings {
    /// Messages in one call of the handler.
    pub batch_max: usize,
    /// Calls of the handler under way.
    pub in_flight_max: usize,
}

/// A consumer of one subscription, with its handler.
pub struct Runner {
    bus: Arc<dyn Bus>,
    subscription: Subscription,
    handler: Arc<dyn Handler>,
    settings: RunnerSettings,
    clock: Arc<dyn Clock>,
}

impl Runner {
    /// A runner that hasn't started.
    pub fn new(
        bus: Arc<dyn Bus>,
        subscription: Subscription,
        handler: Arc<dyn Handler>,
        settings: RunnerSettings,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            bus,
            subscription,
            handler,
            settings,
            clock,
        }
    }

    /// Consumes until `shutdown`; then finishes what is being handled, commits and leaves the group.
    /// A bus that is away is waited for.
    pub async fn run(self, shutdown: CancellationToken) {
        let Some(consumer) = self.join(&shutdown).await else {
            return;
        };
        let group = Arc::clone(&self.subscription.group);
        let work = Work::new(
            Arc::clone(&self.handler),
            Arc::clone(&self.bus),
            Arc::clone(&group),
            self.settings,
            Arc::clone(&self.clock),
        );
        let running = Running {
            consumer,
            handler: self.handler,
            group,
            desk: Desk::default(),
            work,
            commit_at: Instant::now(),
            lag_at: Instant::now(),
            poll_at: Instant::now(),
            bus_failures: 0,
            commit_failures: 0,
        };
        running.run(&shutdown).await;
    }

    async fn join(&self, shutdown: &CancellationToken) -> Option<Box<dyn Consumer>> {
        let mut failures = 0;
        loop {
            let error = tokio::select! {
                () = shutdown.cancelled() => return None,
                joined = self.bus.subscribe(self.subscription.clone()) => match joined {
                    Ok(consumer) => return Some(consumer),
                    Err(error) => error,
                }
            };
            failures += 1;
            warn_once(
                &self.subscription.group,
                "joining the group",
                &error,
                failures,
            );
            tokio::select! {
                () = shutdown.cancelled() => return None,
                () = tokio::time::sleep(BUS_AWAY.after(failures)) => {}
            }
        }
    }
}

struct Running {
    consumer: Box<dyn Consumer>,
    handler: Arc<dyn Handler>,
    group: Arc<str>,
    desk: Desk,
    work: Work,
    commit_at: Instant,
    lag_at: Instant,
    poll_at: Instant,
    bus_failures: u32,
    commit_failures: u32,
}

impl Running {
    async fn run(mut self, shutdown: &CancellationToken) {
        tracing::info!(group = &*self.group, "consumer started");
        while !shutdown.is_cancelled() {
            self.commit_if_due().await;
            self.throttle().await;
            self.report_lag_if_due().await;
            self.work.start(&mut self.desk);
            match self.poll(shutdown).await {
                None => {}
                Some(Ok(Polled::Messages(messages))) => {
                    self.bus_failures = 0;
                    let handler = &self.handler;
                    self.desk
                        .absorb(messages, |message| lane(&**handler, message));
                }
                Some(Ok(Polled::Revoked(places))) => {
                    tracing::info!(
                        group = &*self.group,
                        count = places.len(),
                        "partitions revoked"
                    );
                    self.desk.revoke(&places);
                }
                Some(Err(error)) => self.bus_failed("polling", &error),
            }
        }
        self.finish().await;
    }

    /// Waits for messages while work goes on; `None` once it is time to end.
    async fn poll(&mut self, shutdown: &CancellationToken) -> Option<Result<Polled, BusError>> {
        let Self {
            consumer,
            desk,
            work,
            poll_at,
            ..
        } = self;
        let poll_at = *poll_at;
        let polled = async {
            tokio::time::sleep_until(poll_at).await;
            consumer.poll(POLL_MAX, POLL_WAIT).await
        };
        tokio::pin!(polled);
        loop {
            let due = work.next_due(desk, Instant::now());
            tokio::select! {
                // Only at the end is a poll given up: what it may have in hand is not committed.
                () = shutdown.cancelled() => return None,
                result = &mut polled => return Some(result),
                settled = work.settle_next(desk), if work.is_busy() => settled,
                () = sleep_until(due), if due.is_some() => {}
            }
            work.start(desk);
        }
    }

    async fn commit_if_due(&mut self) {
        let now = Instant::now();
        if now < self.commit_at {
            return;
        }
        self.commit_at = now + COMMIT_EVERY;
        let next = self.desk.partitions.to_commit();
        if next.is_empty() {
            return;
        }
        faults::crash(faults::points::CRASH_BEFORE_OFFSET);
        match self.consumer.commit(&next).await {
            Ok(()) => {
                self.desk.partitions.committed(&next);
                self.commit_failures = 0;
            }
            Err(error) => {
                self.commit_failures += 1;
                self.commit_at = now + BUS_AWAY.after(self.commit_failures);
                warn_once(
                    &self.group,
                    "committing offsets",
                    &error,
                    self.commit_failures,
                );
            }
        }
    }

    /// Stops fetching where enough is in hand, and goes on where there is room.
    async fn throttle(&mut self) {
        let pause = self.desk.partitions.to_pause();
        if !pause.is_empty() {
            match self.consumer.pause(&pause).await {
                Ok(()) => self.desk.partitions.set_paused(&pause, true),
                Err(error) => self.bus_failed("pausing partitions", &error),
            }
        }
        let resume = self.desk.partitions.to_resume();
        if !resume.is_empty() {
            match self.consumer.resume(&resume).await {
                Ok(()) => self.desk.partitions.set_paused(&resume, false),
                Err(error) => self.bus_failed("resuming partitions", &error),
            }
        }
    }

    /// What is not handled yet: unread, and in hand.
    async fn report_lag_if_due(&mut self) {
        let now = Instant::now();
        if now < self.lag_at || self.bus_failures > 0 {
            return;
        }
        self.lag_at = now + LAG_EVERY;
        // The gauge stands still while the bus is away.
        let mut lag = match self.consumer.lag().await {
            Ok(lag) => lag,
            Err(error) => {
                tracing::debug!(group = &*self.group, %error, "lag unknown");
                return;
            }
        };
        for (topic, in_hand) in self.desk.partitions.in_hand() {
            *lag.entry(topic).or_default() += in_hand;
        }
        for (topic, count) in lag {
            #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
            metrics::gauge!(
                names::BUS_LAG,
                "group" => self.group.to_string(),
                "topic" => topic.to_string()
            )
            .set(count as f64);
        }
    }

    async fn finish(mut self) {
        let deadline = Instant::now() + DRAIN_TIMEOUT;
        while self.work.is_busy() {
            let settled = self.work.settle_next(&mut self.desk);
            if tokio::time::timeout_at(deadline, settled).await.is_err() {
                tracing::warn!(
                    group = &*self.group,
                    "work left unfinished, it will be repeated"
                );
                break;
            }
        }
        self.commit_at = Instant::now();
        self.commit_if_due().await;
        self.consumer.close().await;
        tracing::info!(group = &*self.group, "consumer ended");
    }

    fn bus_failed(&mut self, doing: &'static str, error: &BusError) {
        self.bus_failures += 1;
        self.poll_at = Instant::now() + BUS_AWAY.after(self.bus_failures);
        warn_once(&self.group, doing, error, self.bus_failures);
    }
}

fn lane(handler: &dyn Handler, message: &InMessage) -> LaneKey {
    handler
        .lane(message)
        .map_or(LaneKey::Alone(message.offset), LaneKey::Shared)
}

async fn sleep_until(due: Option<Instant>) {
    if let Some(due) = due {
        tokio::time::sleep_until(due).await;
    }
}

/// The first failure of an outage is worth a line; the rest follow from it.
fn warn_once(group: &str, doing: &'static str, error: &BusError, failures: u32) {
    let cause = &*error.0;
    if failures == 1 {
        tracing::warn!(group, doing, %error, cause, "the bus failed, will try again");
    } else {
        tracing::debug!(group, doing, %error, cause, failures, "the bus fails still");
    }
}
