//! What is being done with the messages in hand: calls of the handler, dead letters under way, and
//! the pause while a dependency is away.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;

use super::backoff::Backoff;
use super::desk::{Desk, Ticket, Wait};
use super::handler::{Handler, Reason, Verdict};
use super::parking;
use super::runner::{BUSY_LIMIT, RETRY_LIMIT, RunnerSettings};
use crate::ports::bus::{Bus, InMessage, PublishError};
use crate::ports::clock::Clock;
use crate::telemetry::names;

/// Dead letters being published at once.
const PARKING_MAX: usize = 16;

/// How long one call of a handler may take. Past it the messages are tried again: a handler has
/// time limits of its own, this one keeps a fault in them from holding a lane for ever.
const HANDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// While a dependency is away: soon enough that its return isn't noticed late.
const DEPENDENCY_AWAY: Backoff = Backoff {
    first: Duration::from_millis(100),
    cap: Duration::from_secs(5),
};

/// The answer of a task.
enum Answer {
    Handled(Vec<Verdict>),
    TimedOut,
    Parked(Result<(), PublishError>),
}

/// What a task works on.
enum Job {
    Handling(Vec<Ticket>),
    Parking(Ticket, Reason),
}

/// A dependency that is away.
struct Away {
    failures: u32,
    until: Instant,
}

/// Everything under way.
pub(super) struct Work {
    handler: Arc<dyn Handler>,
    bus: Arc<dyn Bus>,
    group: Arc<str>,
    settings: RunnerSettings,
    clock: Arc<dyn Clock>,
    tasks: JoinSet<Answer>,
    jobs: HashMap<Id, Job>,
    parking: usize,
    away: Option<Away>,
}

impl Work {
    pub(super) fn new(
        handler: Arc<dyn Handler>,
        bus: Arc<dyn Bus>,
        group: Arc<str>,
        settings: RunnerSettings,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            handler,
            bus,
            group,
            settings,
            clock,
            tasks: JoinSet::new(),
            jobs: HashMap::new(),
            parking: 0,
            away: None,
        }
    }

    /// Whether anything is under way.
    pub(super) fn is_busy(&self) -> bool {
        !self.tasks.is_empty()
    }

    /// When there may be something to start.
    pub(super) fn next_due(&self, desk: &Desk, now: Instant) -> Option<Instant> {
        let pause = self.away.as_ref().map(|away| away.until);
        // Once the pause is over, what there is to try has been started or is not due.
        let pause = pause.filter(|until| *until > now);
        pause.into_iter().chain(desk.next_due()).min()
    }

    /// Starts what can be started.
    pub(super) fn start(&mut self, desk: &mut Desk) {
        let now = Instant::now();
        desk.wake_due(now);
        while self.parking < PARKING_MAX
            && let Some((ticket, reason)) = desk.take_parking()
        {
            self.park(ticket, reason);
        }
        while self.handling() < self.handling_max(now) {
            let tickets = desk.take(self.settings.batch_max);
            if tickets.is_empty() {
                break;
            }
            self.handle(tickets);
        }
    }

    /// Waits for the next task and takes its answer in. Must not be called with none under way.
    pub(super) async fn settle_next(&mut self, desk: &mut Desk) {
        if let Some(ended) = self.tasks.join_next_with_id().await {
            self.settle(ended, desk, Instant::now());
        }
    }

    fn handling(&self) -> usize {
        self.jobs.len() - self.parking
    }

    /// While a dependency is away none, and then one call to find out whether it is back.
    fn handling_max(&self, now: Instant) -> usize {
        match &self.away {
            None => self.settings.in_flight_max,
            Some(away) => usize::from(now >= away.until),
        }
    }

    fn handle(&mut self, tickets: Vec<Ticket>) {
        let handler = Arc::clone(&self.handler);
        let batch: Vec<Arc<InMessage>> = tickets.iter().map(|t| Arc::clone(&t.message)).collect();
        let task = self.tasks.spawn(async move {
            match tokio::time::timeout(HANDLE_TIMEOUT, handler.handle(&batch)).await {
                Ok(verdicts) => Answer::Handled(verdicts),
                Err(_elapsed) => Answer::TimedOut,
            }
        });
        self.jobs.insert(task.id(), Job::Handling(tickets));
    }

    fn park(&mut self, ticket: Ticket, reason: Reason) {
        let bus = Arc::clone(&self.bus);
        let group = Arc::clone(&self.group);
        let message = Arc::clone(&ticket.message);
        let why = reason.clone();
        let now = self.clock.now();
        let task = self.tasks.spawn(async move {
            Answer::Parked(parking::park(&*bus, &group, &message, &why, now).await)
        });
        self.parking += 1;
        self.jobs.insert(task.id(), Job::Parking(ticket, reason));
    }

    fn settle(&mut self, ended: Result<(Id, Answer), JoinError>, desk: &mut Desk, now: Instant) {
        let (id, answer) = match ended {
            Ok((id, answer)) => (id, Ok(answer)),
            Err(error) => (error.id(), Err(error)),
        };
        match (self.jobs.remove(&id), answer) {
            (Some(Job::Handling(tickets)), answer) => {
                let verdicts = self.verdicts(tickets.len(), answer);
                self.note_dependency(&verdicts, now);
                for (ticket, verdict) in tickets.iter().zip(verdicts) {
                    self.apply(ticket, verdict, desk, now);
                }
            }
            (Some(Job::Parking(ticket, reason)), answer) => {
                self.parking -= 1;
                self.parked(&ticket, &reason, answer, desk, now);
            }
            (None, _) => {}
        }
    }

    fn verdicts(&self, count: usize, answer: Result<Answer, JoinError>) -> Vec<Verdict> {
        let again = match answer {
            Ok(Answer::Handled(verdicts)) if verdicts.len() == count => return verdicts,
            Ok(Answer::TimedOut) => {
                tracing::warn!(group = &*self.group, "handler took too long");
                Verdict::Busy(Reason::new("timed-out", "the handler took too long"))
            }
            Ok(_) => {
                tracing::error!(
                    group = &*self.group,
                    "handler didn't answer for each message"
                );
                Verdict::RetryLater(Reason::new(
                    "unanswered",
                    "the handler didn't answer for it",
                ))
            }
            Err(error) => {
                tracing::error!(group = &*self.group, %error, "handler failed");
                Verdict::RetryLater(Reason::new("handler-failed", error.to_string()))
            }
        };
        vec![again; count]
    }

    fn note_dependency(&mut self, verdicts: &[Verdict], now: Instant) {
        let down = verdicts.iter().find_map(|verdict| match verdict {
            Verdict::DependencyDown(why) => Some(why),
            _ => None,
        });
        let Some(why) = down else {
            // An answer during the pause is of a call that was under way before it.
            if self.away.as_ref().is_some_and(|away| now >= away.until) {
                self.away = None;
                tracing::info!(group = &*self.group, "dependency is back, going on");
            }
            return;
        };
        match &mut self.away {
            // Of calls that were under way when the first one failed.
            Some(away) if now < away.until => {}
            Some(away) => {
                away.failures += 1;
                away.until = now + DEPENDENCY_AWAY.after(away.failures);
            }
            None => {
                tracing::warn!(group = &*self.group, why, "dependency is away, pausing");
                let until = now + DEPENDENCY_AWAY.after(1);
                self.away = Some(Away { failures: 1, until });
            }
        }
    }

    fn apply(&self, ticket: &Ticket, verdict: Verdict, desk: &mut Desk, now: Instant) {
        let outcome = match verdict {
            Verdict::Done => {
                desk.finish(ticket, now);
                "done"
            }
            Verdict::Drop(why) => {
                tracing::debug!(
                    group = &*self.group,
                    topic = &*ticket.message.topic,
                    partition = ticket.message.partition,
                    offset = ticket.message.offset,
                    why,
                    "message dropped"
                );
                desk.finish(ticket, now);
                why
            }
            Verdict::RetryLater(reason) => {
                desk.retry(ticket, reason, Wait::Retry(RETRY_LIMIT), now);
                "retried"
            }
            Verdict::Busy(reason) => {
                desk.retry(ticket, reason, Wait::Busy(BUSY_LIMIT), now);
                "busy"
            }
            Verdict::DeadLetter(reason) => {
                desk.park(ticket, reason);
                "dead_letter"
            }
            Verdict::DependencyDown(_) => {
                desk.put_back(ticket);
                "dependency_down"
            }
        };
        metrics::counter!(
            names::MESSAGES,
            "group" => self.group.to_string(),
            "topic" => ticket.message.topic.to_string(),
            "outcome" => outcome
        )
        .increment(1);
    }

    fn parked(
        &self,
        ticket: &Ticket,
        reason: &Reason,
        answer: Result<Answer, JoinError>,
        desk: &mut Desk,
        now: Instant,
    ) {
        let message = &ticket.message;
        let error = match answer {
            Ok(Answer::Parked(Ok(()))) => {
                tracing::warn!(
                    group = &*self.group,
                    topic = &*message.topic,
                    partition = message.partition,
                    offset = message.offset,
                    code = reason.code,
                    reason = reason.detail,
                    "message parked as a dead letter"
                );
                metrics::counter!(
                    names::DEAD_LETTERS,
                    "topic" => message.topic.to_string(),
                    "reason" => reason.code
                )
                .increment(1);
                desk.finish(ticket, now);
                return;
            }
            Ok(Answer::Parked(Err(error))) => error.to_string(),
            Ok(Answer::Handled(_) | Answer::TimedOut) => "wrong answer".into(),
            Err(error) => error.to_string(),
        };
        // The offset stays where it is until the bus has the letter.
        tracing::warn!(
            group = &*self.group,
            topic = &*message.topic,
            partition = message.partition,
            offset = message.offset,
            error,
            "dead letter could not be published, will try again"
        );
        desk.park_again(ticket, now);
    }
}
