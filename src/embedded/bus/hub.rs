//! The bus' state in memory: the ends of each partition, and which member of each group reads it. It is
//! rebuilt at start; the file has the messages and the committed offsets.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::assign::{Slot, Token, assign};

/// A partition as the file has it.
#[derive(Clone, Debug)]
pub(super) struct Partition {
    pub(super) slot: Slot,
    pub(super) topic: Arc<str>,
    pub(super) number: i32,
    /// The oldest offset that retention has left.
    pub(super) first: i64,
    /// The offset of the next message to come.
    pub(super) next: i64,
}

/// The shared state. Its lock is held for a few map operations, never across an await.
#[derive(Debug, Default)]
pub(super) struct Hub {
    state: Mutex<State>,
    /// Wakes every consumer when messages, partitions or an assignment are new.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    partitions: BTreeMap<Slot, Partition>,
    topics: HashMap<Arc<str>, Vec<Slot>>,
    groups: HashMap<Arc<str>, Group>,
    last_token: Token,
}

#[derive(Debug, Default)]
struct Group {
    members: BTreeMap<Token, Member>,
    owners: BTreeMap<Slot, Token>,
    /// Partitions whose owner has yet to be told that it loses them, each with its next owner.
    moving: BTreeMap<Slot, Token>,
}

#[derive(Debug)]
struct Member {
    name: Arc<str>,
    topics: Vec<Arc<str>>,
}

/// The next thing for a member to do.
#[derive(Debug)]
pub(super) enum Turn {
    /// It has lost these partitions.
    Revoked(Vec<Slot>),
    /// It owns these partitions.
    Owns(Vec<Partition>),
    /// Another member has taken its name.
    Replaced,
}

impl Hub {
    /// Registers for the next change. Call it first, then look at the state, then wait.
    pub(super) fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }

    /// Adds partitions, or advances the ends of known ones.
    pub(super) fn put(&self, partitions: Vec<Partition>) {
        let mut state = self.state.lock();
        for partition in partitions {
            let slots = state
                .topics
                .entry(Arc::clone(&partition.topic))
                .or_default();
            if !slots.contains(&partition.slot) {
                slots.push(partition.slot);
            }
            state.partitions.insert(partition.slot, partition);
        }
        let names: Vec<_> = state.groups.keys().cloned().collect();
        for group in names {
            state.rebalance(&group);
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// New messages up to `next` are durable.
    pub(super) fn advance(&self, ends: &[(Slot, i64)]) {
        let mut state = self.state.lock();
        for (slot, next) in ends {
            if let Some(partition) = state.partitions.get_mut(slot) {
                partition.next = partition.next.max(*next);
            }
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Retention has removed what is older than `first`.
    pub(super) fn trim(&self, starts: &[(Slot, i64)]) {
        let mut state = self.state.lock();
        for (slot, first) in starts {
            if let Some(partition) = state.partitions.get_mut(slot) {
                partition.first = partition.first.max(*first);
            }
        }
    }

    /// The partitions of `topic`, by number; none if there is no such topic.
    pub(super) fn topic(&self, topic: &str) -> Vec<Partition> {
        let state = self.state.lock();
        let slots = state.topics.get(topic).map_or(&[][..], Vec::as_slice);
        let mut partitions: Vec<Partition> = slots
            .iter()
            .filter_map(|slot| state.partitions.get(slot).cloned())
            .collect();
        partitions.sort_by_key(|partition| partition.number);
        partitions
    }

    /// Adds a member to `group`; it replaces one of the same name.
    pub(super) fn join(&self, group: &Arc<str>, name: Arc<str>, topics: Vec<Arc<str>>) -> Token {
        let mut state = self.state.lock();
        state.last_token += 1;
        let token = state.last_token;
        let joined = state.groups.entry(Arc::clone(group)).or_default();
        let before = joined
            .members
            .iter()
            .find(|(_, member)| member.name == name)
            .map(|(before, _)| *before);
        if let Some(before) = before {
            joined.members.remove(&before);
            for owner in joined.owners.values_mut().filter(|owner| **owner == before) {
                *owner = token;
            }
        }
        joined.members.insert(token, Member { name, topics });
        state.rebalance(group);
        drop(state);
        self.changed.notify_waiters();
        token
    }

    /// Removes a member; the others get its partitions.
    pub(super) fn leave(&self, group: &Arc<str>, token: Token) {
        let mut state = self.state.lock();
        if let Some(left) = state.groups.get_mut(group) {
            left.members.remove(&token);
            left.owners.retain(|_, owner| *owner != token);
            if left.members.is_empty() {
                state.groups.remove(group);
            } else {
                state.rebalance(group);
            }
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// The partitions that `token` owns now, including those that it is about to lose.
    pub(super) fn owned(&self, group: &Arc<str>, token: Token) -> Vec<Partition> {
        let state = self.state.lock();
        let group = state.groups.get(group);
        group.map_or_else(Vec::new, |group| group.owned(token, &state.partitions))
    }

    /// The next thing for `token` to do. Partitions that are reported as revoked pass to their next owner
    /// with this call.
    pub(super) fn turn(&self, group: &Arc<str>, token: Token) -> Turn {
        let mut state = self.state.lock();
        let state = &mut *state;
        let Some(group) = state.groups.get_mut(group) else {
            return Turn::Replaced;
        };
        if !group.members.contains_key(&token) {
            return Turn::Replaced;
        }
        let gone: Vec<(Slot, Token)> = group
            .moving
            .iter()
            .filter(|(slot, _)| group.owners.get(slot) == Some(&token))
            .map(|(slot, to)| (*slot, *to))
            .collect();
        if gone.is_empty() {
            return Turn::Owns(group.owned(token, &state.partitions));
        }
        for (slot, to) in &gone {
            group.moving.remove(slot);
            group.owners.insert(*slot, *to);
        }
        self.changed.notify_waiters();
        Turn::Revoked(gone.into_iter().map(|(slot, _)| slot).collect())
    }
}

impl Group {
    fn owned(&self, token: Token, partitions: &BTreeMap<Slot, Partition>) -> Vec<Partition> {
        let owned = self.owners.iter().filter(|(_, owner)| **owner == token);
        owned
            .filter_map(|(slot, _)| partitions.get(slot).cloned())
            .collect()
    }
}

impl State {
    fn rebalance(&mut self, name: &Arc<str>) {
        let Some(group) = self.groups.get_mut(name) else {
            return;
        };
        let mut slots = BTreeMap::<Slot, BTreeSet<Token>>::new();
        for (token, member) in &group.members {
            let read = member
                .topics
                .iter()
                .filter_map(|topic| self.topics.get(topic));
            for slot in read.flatten() {
                slots.entry(*slot).or_default().insert(*token);
            }
        }
        group.moving.clear();
        for (slot, to) in assign(&slots, &group.owners) {
            match group.owners.get(&slot) {
                Some(owner) if *owner == to => {}
                // Its owner may be reading it: it passes on when the owner has been told.
                Some(_) => drop(group.moving.insert(slot, to)),
                None => drop(group.owners.insert(slot, to)),
            }
        }
    }
}
