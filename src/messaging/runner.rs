//! The consumer loop. One task owns the consumer. Handlers run beside it, so that polling never waits for
//! them and the member stays in its group. Leaves handling to `work`, and commits to `upkeep`.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use trackops_cluster::backoff::Backoff;

use super::handler::Handler;
use super::in_flight::InFlightMessages;
use super::key_queue::QueueKey;
use super::settings::RunnerSettings;
use super::upkeep::Upkeep;
use super::work::Work;
use crate::ports::bus::{Bus, BusError, Consumer, InMessage, Polled, Subscription};
use crate::ports::clock::Clock;
use crate::telemetry::repeated::RepeatedLog;

/// The most messages of one poll: a few times what arrives between two polls at full speed.
const POLL_MAX: usize = 1_000;
/// The longest wait in a poll. A task that needs the consumer meanwhile ends the poll early.
const POLL_WAIT: Duration = Duration::from_secs(5);
/// How long the messages being handled may take to finish when the runner ends.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// The pauses between attempts while the bus is away.
const BUS_AWAY: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));

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

    /// Consumes until `shutdown`; then finishes the messages being handled, commits and leaves the group.
    /// Waits for a bus that is away.
    pub async fn run(self, shutdown: CancellationToken) {
        let bus_log = RepeatedLog::new();
        let Some(consumer) = self.join(&shutdown, &bus_log).await else {
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
            upkeep: Upkeep::new(Arc::clone(&group)),
            group,
            in_flight: InFlightMessages::default(),
            work,
            gather: self.settings.gather,
            poll_at: Instant::now(),
            bus_failures: 0,
            bus_log,
        };
        running.run(&shutdown).await;
    }

    async fn join(
        &self,
        shutdown: &CancellationToken,
        log: &RepeatedLog,
    ) -> Option<Box<dyn Consumer>> {
        let mut backoff = BUS_AWAY;
        loop {
            let error = tokio::select! {
                () = shutdown.cancelled() => return None,
                joined = self.bus.subscribe(self.subscription.clone()) => match joined {
                    Ok(consumer) => return Some(consumer),
                    Err(error) => error,
                }
            };
            bus_failed(log, &self.subscription.group, "joining the group", &error);
            tokio::select! {
                () = shutdown.cancelled() => return None,
                () = tokio::time::sleep(backoff.pause()) => {}
            }
        }
    }
}

struct Running {
    consumer: Box<dyn Consumer>,
    handler: Arc<dyn Handler>,
    group: Arc<str>,
    in_flight: InFlightMessages,
    work: Work,
    upkeep: Upkeep,
    gather: Duration,
    poll_at: Instant,
    bus_failures: u32,
    bus_log: RepeatedLog,
}

impl Running {
    async fn run(mut self, shutdown: &CancellationToken) {
        tracing::info!(group = &*self.group, "consumer started");
        while !shutdown.is_cancelled() {
            self.throttle().await;
            let partitions = &mut self.in_flight.partitions;
            self.upkeep
                .begin(&mut *self.consumer, partitions, Instant::now());
            self.work.start(&mut self.in_flight);
            match self.poll(shutdown).await {
                None => {}
                Some(Ok(polled)) => self.polled(polled),
                Some(Err(error)) => self.bus_failed("polling", &error),
            }
        }
        self.finish().await;
    }

    fn polled(&mut self, polled: Polled) {
        self.bus_failures = 0;
        let now = Instant::now();
        if let Some(recovery) = self.bus_log.recovered(now) {
            let (count, lasted_s) = (recovery.count, recovery.lasted.as_secs());
            tracing::info!(group = &*self.group, count, lasted_s, "the bus is back");
        }
        match polled {
            Polled::Messages(messages) => {
                if !messages.is_empty() {
                    self.poll_at = now + self.gather;
                }
                let handler = &self.handler;
                self.in_flight
                    .absorb(messages, |message| queue_key(&**handler, message));
            }
            Polled::Revoked(partitions) => {
                let count = partitions.len();
                tracing::info!(group = &*self.group, count, "partitions revoked");
                self.in_flight.revoke(&partitions);
            }
        }
    }

    /// Waits for messages while work goes on. Returns `None` when it is time to end, or when the consumer
    /// is needed for another call. A poll that is dropped loses nothing.
    async fn poll(&mut self, shutdown: &CancellationToken) -> Option<Result<Polled, BusError>> {
        let Self {
            consumer,
            in_flight,
            work,
            upkeep,
            poll_at,
            bus_failures,
            ..
        } = self;
        let (poll_at, is_failing) = (*poll_at, *bus_failures > 0);
        let polled = async {
            tokio::time::sleep_until(poll_at).await;
            consumer.poll(POLL_MAX, POLL_WAIT).await
        };
        tokio::pin!(polled);
        loop {
            let now = Instant::now();
            let upkeep_due = upkeep.next_due(&in_flight.partitions);
            let throttle =
                (!is_failing || now >= poll_at) && in_flight.partitions.wants_throttling();
            if throttle || upkeep_due.is_some_and(|due| due <= now) {
                return None;
            }
            let due = work
                .next_due(in_flight, now)
                .into_iter()
                .chain(upkeep_due)
                .min();
            tokio::select! {
                () = shutdown.cancelled() => return None,
                result = &mut polled => return Some(result),
                answers = work.answers() => work.apply_answers(answers, in_flight),
                ended = upkeep.next() => upkeep.apply_answers(ended, &mut in_flight.partitions),
                () = sleep_until(due), if due.is_some() => {}
            }
            work.start(in_flight);
        }
    }

    /// Pauses partitions that have enough in hand, and resumes those that have room again.
    async fn throttle(&mut self) {
        if self.bus_failures > 0 && Instant::now() < self.poll_at {
            return;
        }
        let pause = self.in_flight.partitions.to_pause();
        if !pause.is_empty() {
            match self.consumer.pause(&pause).await {
                Ok(()) => self.in_flight.partitions.set_paused(&pause, true),
                Err(error) => self.bus_failed("pausing partitions", &error),
            }
        }
        let resume = self.in_flight.partitions.to_resume();
        if !resume.is_empty() {
            match self.consumer.resume(&resume).await {
                Ok(()) => self.in_flight.partitions.set_paused(&resume, false),
                Err(error) => self.bus_failed("resuming partitions", &error),
            }
        }
    }

    async fn finish(mut self) {
        let deadline = Instant::now() + DRAIN_TIMEOUT;
        while self.work.is_busy() {
            match tokio::time::timeout_at(deadline, self.work.answers()).await {
                Ok(answers) => self.work.apply_answers(answers, &mut self.in_flight),
                Err(_elapsed) => {
                    tracing::warn!(
                        group = &*self.group,
                        "work left unfinished, it will be repeated"
                    );
                    break;
                }
            }
        }
        let partitions = &mut self.in_flight.partitions;
        self.upkeep.finish(&mut *self.consumer, partitions).await;
        self.consumer.close().await;
        tracing::info!(group = &*self.group, "consumer ended");
    }

    fn bus_failed(&mut self, doing: &'static str, error: &BusError) {
        self.bus_failures += 1;
        self.poll_at = Instant::now() + BUS_AWAY.after(self.bus_failures);
        bus_failed(&self.bus_log, &self.group, doing, error);
    }
}

fn queue_key(handler: &dyn Handler, message: &InMessage) -> QueueKey {
    handler
        .queue_key(message)
        .map_or(QueueKey::Alone(message.offset), QueueKey::Shared)
}

async fn sleep_until(due: Option<Instant>) {
    if let Some(due) = due {
        tokio::time::sleep_until(due).await;
    }
}

fn bus_failed(log: &RepeatedLog, group: &str, doing: &'static str, error: &BusError) {
    if let Some(repeats) = log.failed(Instant::now()) {
        let (count, lasting_s) = (repeats.count, repeats.lasting.as_secs());
        let cause = &*error.0;
        tracing::warn!(group, doing, %error, cause, count, lasting_s, "the bus failed, will try again");
    }
}
