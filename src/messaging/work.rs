//! The work on the messages in hand: calls of the handler, dead letters in flight, and what follows from
//! their results. Leaves the bookkeeping of messages to [`super::in_flight`].

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::Instant;
use trackops_cluster::outage::causes;

use super::counters::Counters;
use super::dependency::{Change, Dependency};
use super::handler::{Handler, HandlerOutcome, Reason};
use super::handler_calls::{self, Answer, Answers, HANDLE_TIMEOUT, Outcome};
use super::in_flight::{DispatchedMessage, InFlightMessages, Wait};
use super::parking::Kept;
use super::settings::{BUSY_LIMIT, RETRY_LIMIT, RunnerSettings};
use super::trouble_log::TroubleLog;
use crate::ports::bus::{Bus, PublishError};
use crate::ports::clock::Clock;

/// The most dead letters that are published at once: a few of a producer's requests. A flood of bad
/// messages then passes about as fast as it came, and the messages behind it don't wait.
const PARKING_MAX: usize = 512;

/// All calls and parkings in flight.
pub(super) struct Work {
    handler: Arc<dyn Handler>,
    bus: Arc<dyn Bus>,
    group: Arc<str>,
    settings: RunnerSettings,
    clock: Arc<dyn Clock>,
    /// The tasks that run waves of calls and of parkings. Dropping the set ends them.
    waves: JoinSet<()>,
    answers: Arc<Answers>,
    handling: usize,
    parking: usize,
    dependency: Dependency,
    lines: TroubleLog,
    counters: Counters,
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
            lines: TroubleLog::new(Arc::clone(&group)),
            counters: Counters::of(&group),
            group,
            settings,
            clock,
            waves: JoinSet::new(),
            answers: Arc::default(),
            handling: 0,
            parking: 0,
            dependency: Dependency::default(),
        }
    }

    /// Whether a call or a parking is in flight.
    pub(super) fn is_busy(&self) -> bool {
        self.handling + self.parking > 0
    }

    /// When there may be work to start or a log line to write.
    pub(super) fn next_due(&self, in_flight: &InFlightMessages, now: Instant) -> Option<Instant> {
        // A pause that is over is no reason to wake, because `start` has already begun the work that was
        // due.
        let pause = self.dependency.pause().filter(|until| *until > now);
        let times = [pause, in_flight.next_due(), self.lines.next_look()];
        times.into_iter().flatten().min()
    }

    /// Starts the calls and parkings that can start now.
    pub(super) fn start(&mut self, in_flight: &mut InFlightMessages) {
        let now = Instant::now();
        self.lines.look(now);
        self.reap();
        in_flight.wake_due(now);
        self.park(in_flight);
        let (calls_max, batch_max) = self.allowed(now);
        let mut calls = Vec::new();
        while self.handling < calls_max {
            let dispatched = in_flight.take(batch_max);
            if dispatched.is_empty() {
                break;
            }
            self.handling += 1;
            calls.push(dispatched);
        }
        if !calls.is_empty() {
            let (handler, answers) = (Arc::clone(&self.handler), Arc::clone(&self.answers));
            self.waves
                .spawn(handler_calls::handle(handler, calls, answers));
        }
    }

    /// The calls allowed at once, and the messages in each. While a dependency is away there are none.
    /// When the pause is over, one message finds out whether the dependency is back.
    fn allowed(&self, now: Instant) -> (usize, usize) {
        match self.dependency.pause() {
            None => (self.settings.in_flight_max, self.settings.batch_max),
            Some(until) => (usize::from(now >= until), 1),
        }
    }

    fn park(&mut self, in_flight: &mut InFlightMessages) {
        let mut letters = Vec::new();
        while self.parking < PARKING_MAX
            && let Some(letter) = in_flight.take_parking()
        {
            self.parking += 1;
            letters.push(letter);
        }
        if letters.is_empty() {
            return;
        }
        let (bus, group) = (Arc::clone(&self.bus), Arc::clone(&self.group));
        let answers = Arc::clone(&self.answers);
        let parking = handler_calls::park(bus, group, letters, self.clock.now(), answers);
        self.waves.spawn(parking);
    }

    /// Waves catch the panics of the calls that they make. A panic of the wave itself would leave its
    /// messages in hand for ever, so it is passed on.
    fn reap(&mut self) {
        while let Some(ended) = self.waves.try_join_next() {
            if let Err(error) = ended
                && error.is_panic()
            {
                std::panic::resume_unwind(error.into_panic());
            }
        }
    }

    /// Waits for answers; for ever, if nothing is in flight.
    pub(super) async fn answers(&self) -> Vec<Answer> {
        self.answers.take().await
    }

    /// Applies the answers that [`Self::answers`] returned.
    pub(super) fn apply_answers(&mut self, answers: Vec<Answer>, in_flight: &mut InFlightMessages) {
        let now = Instant::now();
        for answer in answers {
            match answer {
                Answer::Handled(dispatched, outcome) => {
                    self.handling -= 1;
                    self.handled(&dispatched, outcome, in_flight, now);
                }
                Answer::Parked(ticket, reason, result) => {
                    self.parking -= 1;
                    self.parked(&ticket, &reason, result, in_flight, now);
                }
            }
        }
    }

    fn handled(
        &mut self,
        dispatched: &[DispatchedMessage],
        outcome: Outcome,
        in_flight: &mut InFlightMessages,
        now: Instant,
    ) {
        let together = dispatched.len();
        let why = match outcome {
            Outcome::Verdicts(verdicts) if verdicts.len() == together => {
                for (ticket, verdict) in dispatched.iter().zip(verdicts) {
                    self.apply(ticket, verdict, together, in_flight, now);
                }
                return;
            }
            Outcome::Verdicts(_) => "it did not answer for each message".to_owned(),
            Outcome::Panicked(why) => why,
            Outcome::TimedOut => {
                let why = "the handler took too long";
                self.lines.handler_failed(why, together, now);
                for ticket in dispatched {
                    if self.failed_by_dependency(ticket, why, together, in_flight, now) {
                        in_flight.charge_busy(ticket, HANDLE_TIMEOUT);
                    }
                    self.counters.count(&ticket.message.topic, "timed_out");
                }
                return;
            }
        };
        self.lines.handler_failed(&why, together, now);
        for ticket in dispatched {
            self.counters.count(&ticket.message.topic, "failed");
            // In a batch another message may be at fault, so each goes alone from now on.
            let limit = if together > 1 {
                in_flight.part(ticket, 1);
                Wait::Free
            } else {
                Wait::Retry(RETRY_LIMIT)
            };
            in_flight.retry(ticket, Reason::new("handler-failed", &*why), limit, now);
        }
    }

    fn apply(
        &mut self,
        ticket: &DispatchedMessage,
        verdict: HandlerOutcome,
        together: usize,
        in_flight: &mut InFlightMessages,
        now: Instant,
    ) {
        // A busy handler and an unreadable message say nothing about the handler's dependency.
        let got_through = matches!(
            verdict,
            HandlerOutcome::Done | HandlerOutcome::Drop(_) | HandlerOutcome::RetryLater(_)
        );
        if got_through && self.dependency.passed(now) == Some(Change::Returned) {
            self.lines.goes_on(now);
        }
        let outcome = match verdict {
            HandlerOutcome::Done => {
                in_flight.finish(ticket, now);
                "done"
            }
            HandlerOutcome::Drop(why) => {
                tracing::debug!(
                    group = &*self.group,
                    topic = &*ticket.message.topic,
                    partition = ticket.message.partition,
                    offset = ticket.message.offset,
                    why,
                    "message dropped"
                );
                in_flight.finish(ticket, now);
                why
            }
            HandlerOutcome::RetryLater(reason) => {
                in_flight.retry(ticket, reason, Wait::Retry(RETRY_LIMIT), now);
                "retried"
            }
            HandlerOutcome::Busy(reason) => {
                in_flight.retry(ticket, reason, Wait::Busy(BUSY_LIMIT), now);
                "busy"
            }
            HandlerOutcome::DeadLetter(reason) => {
                in_flight.park(ticket, reason);
                "dead_letter"
            }
            HandlerOutcome::DependencyDown(why) => {
                self.failed_by_dependency(ticket, &why, together, in_flight, now);
                "dependency_down"
            }
        };
        self.counters.count(&ticket.message.topic, outcome);
    }

    /// Keeps a message for later because a dependency failed it. Returns whether the failure counts
    /// against the message, because others got through meanwhile.
    fn failed_by_dependency(
        &mut self,
        ticket: &DispatchedMessage,
        why: &str,
        together: usize,
        in_flight: &mut InFlightMessages,
        now: Instant,
    ) -> bool {
        if together > 1 {
            // One of them may make all of them fail.
            in_flight.part(ticket, together / 2);
        }
        let is_its_own = in_flight.let_down(ticket, self.dependency.passed_count());
        self.dependency.failed(&ticket.queue, now);
        if self.dependency.is_away() {
            self.lines.paused(why, now);
            in_flight.put_back(ticket);
            return false;
        }
        self.lines.let_down(&ticket.message, why, now);
        let wait = if is_its_own {
            Wait::Busy(BUSY_LIMIT)
        } else {
            Wait::Free
        };
        in_flight.retry(ticket, Reason::new("dependency-down", why), wait, now);
        is_its_own
    }

    fn parked(
        &mut self,
        ticket: &DispatchedMessage,
        reason: &Reason,
        result: Result<Kept, PublishError>,
        in_flight: &mut InFlightMessages,
        now: Instant,
    ) {
        let message = &ticket.message;
        match result {
            Ok(kept) => {
                self.lines.parked(message, reason, kept, now);
                self.counters.parked(&message.topic, reason.code);
                in_flight.finish(ticket, now);
            }
            // The offset isn't committed until the bus has the dead letter.
            Err(error) => {
                self.lines.unpublished(message, &causes(&error), now);
                in_flight.park_again(ticket, now);
            }
        }
    }
}
