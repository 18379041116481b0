//! The log lines about messages in trouble. A bad producer or a dependency that is away causes thousands
//! of one kind, so each kind is logged once and then every few seconds with its count. Leaves the
//! intervals to [`RepeatedLog`].

use std::collections::HashMap;
use std::sync::Arc;

use tokio::time::Instant;

use super::handler::Reason;
use super::parking::Kept;
use crate::ports::bus::InMessage;
use crate::telemetry::repeated::{Due, RepeatedLog};

/// The lines of one group.
#[derive(Debug)]
pub(super) struct TroubleLog {
    group: Arc<str>,
    /// By topic and [`Reason::code`], of which there are a few each.
    letters: HashMap<(Arc<str>, &'static str), RepeatedLog>,
    unpublished: RepeatedLog,
    handler: RepeatedLog,
    dependency: RepeatedLog,
    pause: RepeatedLog,
}

impl TroubleLog {
    pub(super) fn new(group: Arc<str>) -> Self {
        Self {
            group,
            letters: HashMap::new(),
            unpublished: RepeatedLog::new(),
            handler: RepeatedLog::new(),
            dependency: RepeatedLog::new(),
            pause: RepeatedLog::new(),
        }
    }

    /// A message was parked.
    pub(super) fn parked(
        &mut self,
        message: &InMessage,
        reason: &Reason,
        kept: Kept,
        now: Instant,
    ) {
        let InMessage {
            partition, offset, ..
        } = *message;
        let (group, topic) = (&*self.group, &*message.topic);
        let whole = kept == Kept::Whole;
        let Reason { code, detail } = reason;
        let kind = (Arc::clone(&message.topic), reason.code);
        let log = self.letters.entry(kind).or_default();
        if let Some(repeats) = log.failed(now) {
            let (count, lasting_s) = (repeats.count, repeats.lasting.as_secs());
            tracing::warn!(
                group,
                topic,
                partition,
                offset,
                code,
                reason = detail,
                whole,
                count,
                lasting_s,
                "message parked as a dead letter"
            );
        } else {
            tracing::debug!(
                group,
                topic,
                partition,
                offset,
                code,
                reason = detail,
                whole,
                "message parked as a dead letter"
            );
        }
        if let Some(recovery) = self.unpublished.recovered(now) {
            let (count, lasted_s) = (recovery.count, recovery.lasted.as_secs());
            tracing::info!(
                group,
                count,
                lasted_s,
                "dead letters can be published again"
            );
        }
    }

    /// A dead letter could not be published.
    pub(super) fn unpublished(&self, message: &InMessage, error: &str, now: Instant) {
        if let Some(repeats) = self.unpublished.failed(now) {
            let (count, lasting_s) = (repeats.count, repeats.lasting.as_secs());
            tracing::warn!(
                group = &*self.group,
                topic = &*message.topic,
                partition = message.partition,
                offset = message.offset,
                error,
                count,
                lasting_s,
                "dead letter could not be published, will try again"
            );
        }
    }

    /// A call of the handler with `messages` messages panicked, took too long or gave too few outcomes.
    pub(super) fn handler_failed(&self, why: &str, messages: usize, now: Instant) {
        if let Some(repeats) = self.handler.failed(now) {
            let (count, lasting_s) = (repeats.count, repeats.lasting.as_secs());
            let group = &*self.group;
            tracing::error!(group, why, messages, count, lasting_s, "handler failed");
        }
    }

    /// A message waits for a dependency while others go on.
    pub(super) fn let_down(&self, message: &InMessage, why: &str, now: Instant) {
        if let Some(repeats) = self.dependency.failed(now) {
            let (count, lasting_s) = (repeats.count, repeats.lasting.as_secs());
            tracing::warn!(
                group = &*self.group,
                topic = &*message.topic,
                partition = message.partition,
                offset = message.offset,
                why,
                count,
                lasting_s,
                "message waits for a dependency"
            );
        }
    }

    /// All handling pauses, or goes on pausing, because a dependency is away.
    pub(super) fn paused(&self, why: &str, now: Instant) {
        if let Some(repeats) = self.pause.failed(now) {
            let (count, lasting_s) = (repeats.count, repeats.lasting.as_secs());
            let group = &*self.group;
            tracing::warn!(group, why, count, lasting_s, "dependency is away, pausing");
        }
    }

    /// Handling goes on.
    pub(super) fn goes_on(&self, now: Instant) {
        if let Some(recovery) = self.pause.recovered(now) {
            let (count, lasted_s) = (recovery.count, recovery.lasted.as_secs());
            let group = &*self.group;
            tracing::info!(group, count, lasted_s, "dependency is back, going on");
        }
    }

    /// When [`Self::look`] may have a line to write.
    pub(super) fn next_look(&self) -> Option<Instant> {
        let quiet = self.without_success().map(|(_, log)| log);
        let letters = self.letters.values().chain(quiet);
        letters.filter_map(RepeatedLog::next_look).min()
    }

    /// Writes the lines that are due.
    pub(super) fn look(&self, now: Instant) {
        let group = &*self.group;
        for ((topic, code), log) in &self.letters {
            let topic = &**topic;
            match log.look(now) {
                Some(Due::Repeats(repeats)) => {
                    let (count, lasting_s) = (repeats.count, repeats.lasting.as_secs());
                    tracing::warn!(
                        group,
                        topic,
                        code,
                        count,
                        lasting_s,
                        "messages parked as dead letters"
                    );
                }
                Some(Due::Recovery(recovery)) => {
                    let (count, lasted_s) = (recovery.count, recovery.lasted.as_secs());
                    tracing::info!(group, topic, code, count, lasted_s, "no more dead letters");
                }
                None => {}
            }
        }
        for (what, log) in self.without_success() {
            match log.look(now) {
                Some(Due::Repeats(repeats)) => {
                    let (count, lasting_s) = (repeats.count, repeats.lasting.as_secs());
                    tracing::warn!(group, count, lasting_s, "{what}");
                }
                Some(Due::Recovery(recovery)) => {
                    let (count, lasted_s) = (recovery.count, recovery.lasted.as_secs());
                    tracing::info!(group, count, lasted_s, "over: {what}");
                }
                None => {}
            }
        }
    }

    fn without_success(&self) -> impl Iterator<Item = (&'static str, &RepeatedLog)> {
        let handler = ("handler failed", &self.handler);
        let dependency = ("messages wait for a dependency", &self.dependency);
        [handler, dependency].into_iter()
    }
}
