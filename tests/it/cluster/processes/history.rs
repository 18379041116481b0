//! What clients did and were told, when, and whether it can be true: real-time order must never
//! contradict version order.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use trackops_domain::invariants::Invariant;
use uuid::Uuid;

use crate::support::check::Violation;

/// What a client asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A command that makes a version: a placement or a step, with its retries under one key.
    Write,
    /// A step without a condition, where others may take it too: it makes a version, or finds it made.
    Step,
    /// A read.
    Read,
    /// A step that was refused because the order is no longer at the version from which it was to lead.
    Refused {
        /// That version. Only clients move an order from there.
        from: u32,
    },
}

impl Kind {
    /// Whether it may make a version.
    pub fn may_make(self) -> bool {
        matches!(self, Self::Write | Self::Step)
    }
}

/// One request as its client saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Op {
    /// What.
    pub kind: Kind,
    /// When it was first sent.
    pub begun: Duration,
    /// When it was answered, and the version that it was told. `None`: nobody answered, so it may
    /// have happened, may happen yet, or never.
    pub told: Option<(Duration, u32)>,
}

/// The requests of all clients.
pub struct History {
    start: Instant,
    ops: Mutex<HashMap<Uuid, Vec<Op>>>,
}

impl Default for History {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            ops: Mutex::default(),
        }
    }
}

impl History {
    /// Now, as requests begin and end.
    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Remembers a request that has just been answered.
    pub fn told(&self, order: Uuid, kind: Kind, begun: Duration, version: u32) {
        let told = Some((self.now(), version));
        self.add(order, Op { kind, begun, told });
    }

    /// Remembers a write of which nobody knows what became of it.
    pub fn lost(&self, order: Uuid, begun: Duration) {
        let kind = Kind::Write;
        self.add(
            order,
            Op {
                kind,
                begun,
                told: None,
            },
        );
    }

    fn add(&self, order: Uuid, op: Op) {
        let mut ops = self.ops.lock().unwrap_or_else(PoisonError::into_inner);
        ops.entry(order).or_default().push(op);
    }

    /// Everything, by order.
    pub fn ops(&self) -> HashMap<Uuid, Vec<Op>> {
        self.ops
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Whether some write was under way while another request was.
pub fn is_contended(ops: &[Op]) -> bool {
    let overlap = |one: &Op, other: &Op| {
        let ends_after = |op: &Op, moment| op.told.is_none_or(|(ended, _)| ended >= moment);
        ends_after(one, other.begun) && ends_after(other, one.begun)
    };
    let mut writes = ops.iter().enumerate().filter(|(_, op)| op.kind.may_make());
    writes.any(|(index, write)| {
        let mut all = ops.iter().enumerate();
        all.any(|(other, op)| other != index && overlap(write, op))
    })
}

/// What can't be true of one order's history: a request that began after another was answered was told
/// an older version, a write made a version that was there before, or a step was refused for a version
/// that no other made.
pub fn check(order: Uuid, ops: &[Op]) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut written = HashSet::new();
    for op in ops {
        let Some((_, version)) = op.told else {
            continue;
        };
        // Answered before this one began.
        let before = ops.iter().filter_map(|other| other.told);
        let floor = before
            .filter(|(ended, _)| *ended < op.begun)
            .map(|(_, version)| version)
            .max()
            .unwrap_or(0);
        if version < floor {
            let detail = format!("{order}: {op:?} was told less than {floor}, answered before it");
            found.push(Violation::new(Invariant::Fresh, detail));
        }
        if op.kind == Kind::Write {
            if version == floor {
                let detail = format!("{order}: {op:?} made a version that had been told before");
                found.push(Violation::new(Invariant::OneWriter, detail));
            }
            if !written.insert(version) {
                let detail = format!("{order}: two writes made version {version}");
                found.push(Violation::new(Invariant::OneWriter, detail));
            }
        }
        if let Kind::Refused { from } = op.kind
            && !is_deserved(op, from, ops)
        {
            let detail = format!("{order}: {op:?}, and nobody else had moved it on");
            found.push(Violation::new(Invariant::OneWriter, detail));
        }
    }
    found
}

/// Whether every version since `from` was made by a write that `refused` may have met.
fn is_deserved(refused: &Op, from: u32, ops: &[Op]) -> bool {
    let Some((ended, version)) = refused.told else {
        return true;
    };
    let made = |wanted| {
        ops.iter().any(|op| {
            let may_be = op.told.is_none_or(|(_, told)| told == wanted);
            op.kind.may_make() && may_be && op.begun <= ended
        })
    };
    version > from && (from + 1..=version).all(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(kind: Kind, begun: u64, ended: u64, version: u32) -> Op {
        Op {
            kind,
            begun: Duration::from_millis(begun),
            told: Some((Duration::from_millis(ended), version)),
        }
    }

    fn found(ops: &[Op]) -> Vec<Invariant> {
        let found = check(Uuid::nil(), ops);
        found.iter().map(|violation| violation.invariant).collect()
    }

    #[test]
    fn what_overlaps_may_be_told_in_any_order() {
        let ops = [
            op(Kind::Write, 0, 10, 1),
            op(Kind::Write, 20, 50, 2),
            op(Kind::Read, 25, 30, 2),
            op(Kind::Read, 26, 40, 1),
        ];
        assert_eq!(found(&ops), []);
    }

    #[test]
    fn a_read_that_goes_back_is_found() {
        let ops = [op(Kind::Read, 0, 10, 3), op(Kind::Read, 11, 20, 2)];
        assert_eq!(found(&ops), [Invariant::Fresh]);
    }

    #[test]
    fn a_version_that_is_made_twice_is_found() {
        let ops = [op(Kind::Write, 0, 10, 2), op(Kind::Write, 5, 12, 2)];
        assert_eq!(found(&ops), [Invariant::OneWriter]);
        let ops = [op(Kind::Read, 0, 10, 2), op(Kind::Write, 11, 12, 2)];
        assert_eq!(found(&ops), [Invariant::OneWriter]);
    }

    #[test]
    fn a_step_that_two_took_at_once_is_one_version() {
        let ops = [
            op(Kind::Step, 0, 10, 3),
            op(Kind::Step, 5, 12, 3),
            op(Kind::Write, 5, 13, 4),
        ];
        assert_eq!(found(&ops), []);
        assert!(is_contended(&ops));
        assert!(!is_contended(&[
            op(Kind::Write, 0, 10, 2),
            op(Kind::Read, 11, 20, 2)
        ]));
    }

    #[test]
    fn a_refusal_needs_a_success_of_another() {
        let refused = op(Kind::Refused { from: 2 }, 10, 20, 3);
        // Before it, beside it, and perhaps.
        assert_eq!(found(&[op(Kind::Write, 0, 5, 3), refused]), []);
        assert_eq!(found(&[op(Kind::Step, 15, 30, 3), refused]), []);
        let lost = Op {
            told: None,
            ..op(Kind::Write, 0, 5, 3)
        };
        assert_eq!(found(&[lost, refused]), []);
        // Its own success, told as a refusal.
        assert_eq!(found(&[refused]), [Invariant::OneWriter]);
        // After it, of another version, or none at all.
        let late = op(Kind::Write, 21, 30, 3);
        assert!(found(&[refused, late]).contains(&Invariant::OneWriter));
        let other = op(Kind::Write, 0, 5, 2);
        assert_eq!(found(&[other, refused]), [Invariant::OneWriter]);
        let far = op(Kind::Refused { from: 2 }, 10, 20, 4);
        let one = op(Kind::Write, 0, 5, 3);
        assert_eq!(found(&[one, far]), [Invariant::OneWriter]);
        let vain = op(Kind::Refused { from: 3 }, 10, 20, 3);
        assert_eq!(found(&[one, vain]), [Invariant::OneWriter]);
    }

    #[test]
    fn a_write_that_nobody_answered_says_nothing() {
        let lost = Op {
            kind: Kind::Write,
            begun: Duration::ZERO,
            told: None,
        };
        assert_eq!(found(&[lost, op(Kind::Read, 5, 6, 1)]), []);
    }
}
