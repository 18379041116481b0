//! A search for one order of events that explains what an order's clients were told (as in Wing and
//! Gong, "Testing and verifying concurrent objects", 1993), against the versions in the journal. It finds
//! what the pairwise rules of [`super::history`] can't: a command that took effect twice, or never.

use std::collections::HashSet;

use super::history::{Kind, Op};

/// A bit for each request; what is longer is not searched.
const OPS_MAX: usize = 128;

/// One version in the journal: whether a client's command made it.
pub type Log<'a> = &'a [bool];

/// Whether there is an order of `ops`, which no two of them that didn't overlap contradict, in which
/// every read and every refusal is told the version of its moment, and every version that a client made
/// is made by exactly one write. `None` if there are too many to look.
pub fn is_explained(ops: &[Op], log: Log<'_>) -> Option<bool> {
    if ops.len() > OPS_MAX {
        return None;
    }
    let mut search = Search {
        ops,
        log,
        seen: HashSet::new(),
    };
    Some(search.from(0, 0))
}

struct Search<'a> {
    ops: &'a [Op],
    log: Log<'a>,
    /// Places that lead nowhere.
    seen: HashSet<(u128, usize)>,
}

impl Search<'_> {
    /// `done` is a bit for each request that has taken its place, `version` the order's.
    fn from(&mut self, done: u128, version: usize) -> bool {
        if !self.seen.insert((done, version)) {
            return false;
        }
        if version == self.log.len() && self.is_complete(done) {
            return true;
        }
        let ready = self.ready(done);
        // What sees this version and leaves it as it is may as well take its place at once: nothing
        // becomes impossible by that.
        let sees = |op: &Op| op.kind != Kind::Write && told(op) == Some(version);
        if let Some(index) = ready.iter().find(|index| sees(&self.ops[**index])) {
            return self.from(done | (1 << index), version);
        }
        match self.log.get(version) {
            None => false,
            // The saga, whose steps no client asked for.
            Some(false) => self.from(done, version + 1),
            Some(true) => ready.into_iter().any(|index| {
                let op = &self.ops[index];
                let fits = told(op).is_none_or(|told| told == version + 1);
                op.kind.may_make() && fits && self.from(done | (1 << index), version + 1)
            }),
        }
    }

    /// What has no place yet and may take the next one.
    fn ready(&self, done: u128) -> Vec<usize> {
        let all = 0..self.ops.len();
        let ready =
            |index: &usize| done & (1 << index) == 0 && self.may_be_next(done, &self.ops[*index]);
        all.filter(ready).collect()
    }

    /// Nothing that waits was answered before `op` began.
    fn may_be_next(&self, done: u128, op: &Op) -> bool {
        let mut waiting = self.ops.iter().enumerate();
        waiting.all(|(index, other)| {
            done & (1 << index) != 0 || other.told.is_none_or(|(ended, _)| ended >= op.begun)
        })
    }

    /// Only what nobody was told of may be left out.
    fn is_complete(&self, done: u128) -> bool {
        let mut all = self.ops.iter().enumerate();
        all.all(|(index, op)| done & (1 << index) != 0 || op.told.is_none())
    }
}

/// The version that its client was told.
fn told(op: &Op) -> Option<usize> {
    let (_, told) = op.told?;
    usize::try_from(told).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Placed, confirmed by the saga, two steps.
    const LOG: [bool; 4] = [true, false, true, true];

    fn op(kind: Kind, begun: u64, told: Option<(u64, u32)>) -> Op {
        Op {
            kind,
            begun: Duration::from_millis(begun),
            told: told.map(|(ended, version)| (Duration::from_millis(ended), version)),
        }
    }

    fn write(begun: u64, ended: u64, version: u32) -> Op {
        op(Kind::Write, begun, Some((ended, version)))
    }

    fn read(begun: u64, ended: u64, version: u32) -> Op {
        op(Kind::Read, begun, Some((ended, version)))
    }

    #[test]
    fn a_sound_history_is_explained() {
        let ops = [
            write(0, 10, 1),
            read(5, 12, 1),
            read(11, 20, 2),
            write(21, 40, 3),
            read(22, 39, 2),
            read(30, 31, 3),
            write(41, 50, 4),
        ];
        assert_eq!(is_explained(&ops, &LOG), Some(true));
    }

    #[test]
    fn a_lost_answer_is_a_write_or_none() {
        let lost = op(Kind::Write, 21, None);
        let ops = [write(0, 10, 1), lost, write(30, 40, 4)];
        assert_eq!(is_explained(&ops, &LOG), Some(true));
        let ops = [write(0, 10, 1), lost, write(30, 40, 3)];
        assert_eq!(is_explained(&ops, &LOG[..3]), Some(true));
    }

    #[test]
    fn a_command_that_took_effect_twice_is_found() {
        let ops = [write(0, 10, 1), write(20, 30, 4)];
        assert_eq!(is_explained(&ops, &LOG), Some(false));
    }

    #[test]
    fn a_command_that_was_acknowledged_and_is_lost_is_found() {
        let ops = [write(0, 10, 1), write(20, 30, 3), write(40, 50, 4)];
        assert_eq!(is_explained(&ops, &LOG[..3]), Some(false));
    }

    #[test]
    fn a_stale_read_is_found() {
        let ops = [
            write(0, 10, 1),
            write(20, 30, 3),
            write(41, 50, 4),
            read(51, 60, 3),
        ];
        assert_eq!(is_explained(&ops, &LOG), Some(false));
    }

    #[test]
    fn a_read_from_the_future_is_found() {
        let ops = [
            write(0, 10, 1),
            read(11, 19, 3),
            write(20, 30, 3),
            write(40, 50, 4),
        ];
        assert_eq!(is_explained(&ops, &LOG), Some(false));
    }

    #[test]
    fn a_version_that_a_client_is_told_and_the_saga_made_is_found() {
        let ops = [write(0, 10, 1), write(11, 20, 2)];
        assert_eq!(is_explained(&ops, &LOG[..2]), Some(false));
    }

    fn refused(begun: u64, ended: u64, from: u32, version: u32) -> Op {
        op(Kind::Refused { from }, begun, Some((ended, version)))
    }

    #[test]
    fn several_at_once_are_explained() {
        let ops = [
            write(0, 10, 1),
            read(15, 70, 2),
            // Three want the same step: one makes it, one finds it made, one is refused.
            write(20, 60, 3),
            op(Kind::Step, 21, Some((58, 3))),
            refused(22, 40, 2, 3),
            read(30, 35, 3),
            // One is told late of what was there before another's step.
            write(50, 61, 4),
            refused(45, 80, 3, 4),
        ];
        assert_eq!(is_explained(&ops, &LOG), Some(true));
    }

    #[test]
    fn a_success_that_was_told_as_a_refusal_is_found() {
        let ops = [write(0, 10, 1), refused(20, 30, 2, 3), write(40, 50, 4)];
        assert_eq!(is_explained(&ops, &LOG), Some(false));
    }

    #[test]
    fn a_refusal_by_an_old_version_is_found() {
        let ops = [
            write(0, 10, 1),
            write(20, 30, 3),
            write(31, 40, 4),
            refused(41, 50, 2, 3),
        ];
        assert_eq!(is_explained(&ops, &LOG), Some(false));
    }

    #[test]
    fn one_step_that_succeeded_for_two_is_found() {
        let both = [write(20, 30, 3), write(21, 31, 3)];
        let ops = [write(0, 10, 1), both[0], both[1], write(40, 50, 4)];
        assert_eq!(is_explained(&ops, &LOG), Some(false));
        // The first found taken what was not yet.
        let early = op(Kind::Step, 11, Some((15, 3)));
        let ops = [write(0, 10, 1), early, write(20, 30, 3), write(40, 50, 4)];
        assert_eq!(is_explained(&ops, &LOG), Some(false));
    }
}
