//! What clients have been told, and whether it can be true.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::Mutex;
use trackops::model::order_answer::Read;
use trackops_domain::ids::{CommandId, OrderId, Version};

use super::trace::Trace;
use crate::doubles::journal::MemoryJournal;

pub struct History {
    trace: Trace,
    journal: MemoryJournal,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    /// The highest version that anybody has been told of.
    known: BTreeMap<OrderId, Version>,
    acknowledged: BTreeSet<(OrderId, CommandId)>,
    /// Placements, each of which may become one order.
    placements: usize,
    /// The last version of each listener.
    heard: BTreeMap<usize, (OrderId, Option<Version>)>,
}

impl History {
    pub fn new(trace: Trace, journal: MemoryJournal) -> Self {
        Self {
            trace,
            journal,
            told: Mutex::default(),
        }
    }

    pub fn orders(&self) -> Vec<OrderId> {
        self.told.lock().known.keys().copied().collect()
    }

    /// What whoever asks now must be told at least.
    pub fn floor(&self, order: OrderId) -> Version {
        let told = self.told.lock();
        told.known.get(&order).copied().unwrap_or(Version(0))
    }

    /// Somebody who asked when `floor` was known was told `version`.
    pub fn told(&self, what: &str, order: OrderId, floor: Version, version: Version) {
        if version < floor {
            let text = format!("I8: {what} of {order} says {version}, {floor} was known");
            self.trace.wrong(text);
        }
        let mut told = self.told.lock();
        let known = told.known.entry(order).or_insert(version);
        *known = version.max(*known);
    }

    /// Only a replica that is alone may answer with what it had once: here others may own the shard.
    pub fn check_age(&self, order: OrderId, read: &Read) {
        if let Some(age) = read.age {
            let text = format!("I8: a read of {order} is {age:?} old");
            self.trace.wrong(text);
        }
    }

    /// Somebody places an order, whatever becomes of it.
    pub fn places(&self) {
        self.told.lock().placements += 1;
    }

    pub fn acknowledged(&self, order: OrderId, command: CommandId) {
        self.told.lock().acknowledged.insert((order, command));
    }

    pub fn was_applied(&self, order: OrderId, command: CommandId) -> bool {
        self.journal.0.lock().knows(order, command)
    }

    /// A listener begins; what it had last stays.
    pub fn listens(&self, listener: usize, order: OrderId) -> Option<Version> {
        let mut told = self.told.lock();
        told.heard.entry(listener).or_insert((order, None)).1
    }

    /// A listener was given something.
    pub fn hears(&self, listener: usize, is_snapshot: bool, version: Version) {
        let mut told = self.told.lock();
        let Some((order, last)) = told.heard.get_mut(&listener) else {
            return;
        };
        let is_fine = match *last {
            None => is_snapshot,
            // All of the history is there, and nobody is slow: nothing is to be skipped.
            Some(last) => !is_snapshot && version == last.next(),
        };
        let before = *last;
        *last = Some(version.max(last.unwrap_or(version)));
        let order = *order;
        drop(told);
        self.trace.say(format_args!(
            "listener {listener} hears {version} of {order}"
        ));
        if !is_fine {
            let text = format!(
                "I7: listener {listener} of {order} had {before:?} and got {version}, snapshot {is_snapshot}"
            );
            self.trace.wrong(text);
        }
    }

    /// Listeners that lack something.
    pub fn behind(&self) -> Vec<String> {
        let last: BTreeMap<_, _> = self.stored();
        let told = self.told.lock();
        let behind = told.heard.iter().filter_map(|(listener, (order, had))| {
            let last = last.get(order).copied();
            (*had != last)
                .then(|| format!("I7: listener {listener} of {order} has {had:?} of {last:?}"))
        });
        behind.collect()
    }

    pub fn stored(&self) -> BTreeMap<OrderId, Version> {
        let all = self.journal.0.lock().all();
        all.iter()
            .map(|(order, _)| (order.id, order.version()))
            .collect()
    }

    /// What the journal says in the end.
    pub fn check(&self) {
        let told = self.told.lock();
        let stored = self.journal.0.lock();
        let wrong = |text: String| self.trace.wrong(text);
        for (order, epoch) in &stored.unfenced {
            wrong(format!("I2: {order} was written under epoch {epoch}"));
        }
        for (order, command) in &told.acknowledged {
            if !stored.knows(*order, *command) {
                wrong(format!(
                    "I3: {command} of {order} was acknowledged and is lost"
                ));
            }
        }
        let all = stored.all();
        if all.len() > told.placements {
            let (orders, placements) = (all.len(), told.placements);
            wrong(format!("{placements} placements became {orders} orders"));
        }
        for (order, version) in &told.known {
            let last = all.iter().find(|(stored, _)| stored.id == *order);
            if last.is_none_or(|(order, _)| order.version() < *version) {
                wrong(format!("I3: {version} of {order} was told and is lost"));
            }
        }
        for (order, events) in &all {
            let versions = events.iter().map(|event| event.version.0);
            if !versions.eq(1..=order.version().0) {
                wrong(format!("I1: versions of {}", order.id));
            }
            let commands: BTreeSet<_> = events.iter().map(|event| event.command).collect();
            if commands.len() != events.len() {
                wrong(format!("a command of {} was applied twice", order.id));
            }
            let epochs: Vec<_> = events.iter().map(|event| event.epoch).collect();
            if !epochs.is_sorted() {
                wrong(format!("I2: epochs of {}: {epochs:?}", order.id));
            }
            let mut steps = events.iter().zip(&events[1..]);
            if !steps.all(|(from, to)| from.status.steps().contains(&to.status)) {
                wrong(format!("I4: {}", order.id));
            }
        }
    }
}
