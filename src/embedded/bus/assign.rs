//! Which member of a group reads which partition. Loads differ by one at most, and as few partitions as
//! possible move. Does no I/O.

use std::collections::{BTreeMap, BTreeSet};

/// A partition's id.
pub(super) type Slot = i64;
/// One life of a member.
pub(super) type Token = u64;

/// Assigns `slots` (each with the members that may read it), starting from the current `owners`.
pub(super) fn assign(
    slots: &BTreeMap<Slot, BTreeSet<Token>>,
    owners: &BTreeMap<Slot, Token>,
) -> BTreeMap<Slot, Token> {
    let mut load: BTreeMap<Token, usize> = slots
        .values()
        .flatten()
        .map(|member| (*member, 0))
        .collect();
    let mut assigned = BTreeMap::new();
    for (slot, readers) in slots {
        if let Some(owner) = owners.get(slot).filter(|owner| readers.contains(owner)) {
            assigned.insert(*slot, *owner);
            *load.entry(*owner).or_default() += 1;
        }
    }
    for (slot, readers) in slots {
        let free = !assigned.contains_key(slot);
        if let Some(owner) = idlest(readers, &load).filter(|_| free) {
            assigned.insert(*slot, owner);
            *load.entry(owner).or_default() += 1;
        }
    }
    // Every move reduces the difference between loads, so this ends.
    while let Some((slot, from, to)) = unfair(slots, &assigned, &load) {
        assigned.insert(slot, to);
        *load.entry(from).or_default() -= 1;
        *load.entry(to).or_default() += 1;
    }
    assigned
}

fn idlest(readers: &BTreeSet<Token>, load: &BTreeMap<Token, usize>) -> Option<Token> {
    readers
        .iter()
        .copied()
        .min_by_key(|member| load.get(member))
}

/// A partition whose reader has at least two partitions more than another member that may read it.
fn unfair(
    slots: &BTreeMap<Slot, BTreeSet<Token>>,
    assigned: &BTreeMap<Slot, Token>,
    load: &BTreeMap<Token, usize>,
) -> Option<(Slot, Token, Token)> {
    assigned.iter().find_map(|(slot, owner)| {
        let to = idlest(slots.get(slot)?, load)?;
        (load.get(owner)? > &(load.get(&to)? + 1)).then_some((*slot, *owner, to))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails says where")]

    use super::*;

    fn slots(count: Slot, readers: &[Token]) -> BTreeMap<Slot, BTreeSet<Token>> {
        (0..count)
            .map(|slot| (slot, readers.iter().copied().collect()))
            .collect()
    }

    #[test]
    fn members_come_and_go_with_few_moves() {
        let mut owners = BTreeMap::new();
        for members in [
            &[1][..],
            &[1, 2],
            &[1, 2, 3],
            &[2, 3],
            &[2, 3, 4, 5, 6],
            &[6],
        ] {
            let now = assign(&slots(8, members), &owners);
            assert_eq!(now.len(), 8);
            let counts: Vec<usize> = members
                .iter()
                .map(|member| now.values().filter(|owner| *owner == member).count())
                .collect();
            let (least, most) = (counts.iter().min(), counts.iter().max());
            assert!(most.unwrap() - least.unwrap() <= 1, "{counts:?}");
            // Only partitions that a new member gets or a leaving one gives up have moved.
            let moved = owners
                .iter()
                .filter(|(slot, was)| members.contains(was) && now[slot] != **was)
                .count();
            assert!(moved <= 8 - 8 / members.len() && (moved == 0 || members.len() > 1));
            owners = now;
        }
    }

    #[test]
    fn only_subscribers_read_a_topic() {
        let mut slots = slots(4, &[1]);
        slots.extend((4..8).map(|slot| (slot, BTreeSet::from([1, 2]))));
        let assigned = assign(&slots, &BTreeMap::new());
        assert!((0..4).all(|slot| assigned[&slot] == 1));
        assert!((4..8).all(|slot| assigned[&slot] == 2));
    }
}
