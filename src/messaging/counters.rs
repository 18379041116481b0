//! Counters by topic and outcome. Each is looked up in the recorder once, because the lookup allocates
//! its labels: too much for every message.

use std::collections::HashMap;
use std::sync::Arc;

use metrics::Counter;

use crate::telemetry::names;

/// The counters of one group.
pub(super) struct Counters {
    group: Arc<str>,
    by_topic: HashMap<Arc<str>, ByName>,
}

#[derive(Default)]
struct ByName {
    outcomes: Vec<(&'static str, Counter)>,
    letters: Vec<(&'static str, Counter)>,
}

impl Counters {
    pub(super) fn of(group: &Arc<str>) -> Self {
        Self {
            group: Arc::clone(group),
            by_topic: HashMap::new(),
        }
    }

    /// A message was handled with this outcome.
    pub(super) fn count(&mut self, topic: &Arc<str>, outcome: &'static str) {
        let group = Arc::clone(&self.group);
        let known = &mut self.of_topic(topic).outcomes;
        known_or(known, outcome, || {
            metrics::counter!(
                names::MESSAGES,
                "group" => group.to_string(),
                "topic" => topic.to_string(),
                "outcome" => outcome
            )
        })
        .increment(1);
    }

    /// A message was parked for a reason of this code.
    pub(super) fn parked(&mut self, topic: &Arc<str>, code: &'static str) {
        known_or(&mut self.of_topic(topic).letters, code, || {
            metrics::counter!(
                names::DEAD_LETTERS,
                "topic" => topic.to_string(),
                "reason" => code
            )
        })
        .increment(1);
    }

    fn of_topic(&mut self, topic: &Arc<str>) -> &mut ByName {
        self.by_topic.entry(Arc::clone(topic)).or_default()
    }
}

/// Finds the counter of that name, or makes it. There are only a few, so a linear search will do.
fn known_or<'k>(
    known: &'k mut Vec<(&'static str, Counter)>,
    name: &'static str,
    new: impl FnOnce() -> Counter,
) -> &'k Counter {
    let at = known.iter().position(|(one, _)| *one == name);
    let at = at.unwrap_or_else(|| {
        known.push((name, new()));
        known.len() - 1
    });
    &known[at].1
}
