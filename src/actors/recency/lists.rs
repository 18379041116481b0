//! Two doubly linked lists over one vector, from the order that was touched longest ago to the last one. An
//! element is named by its number, which stays the same until the element is removed.

use trackops_domain::ids::OrderId;

/// Which list an order is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rank {
    /// The order goes on, or is not loaded yet.
    Live = 0,
    /// The order is finished, or doesn't exist.
    Final = 1,
}

/// Stands for an element's number where there is no element.
const NONE: u32 = u32::MAX;

#[derive(Debug, Default)]
pub(super) struct Lists {
    elements: Vec<Element>,
    /// Numbers of unused elements.
    free: Vec<u32>,
    ends: [Ends; 2],
}

#[derive(Clone, Copy, Debug)]
struct Element {
    order: OrderId,
    tick: u32,
    rank: Rank,
    before: u32,
    after: u32,
    is_listed: bool,
}

#[derive(Clone, Copy, Debug)]
struct Ends {
    first: u32,
    last: u32,
}

impl Default for Ends {
    fn default() -> Self {
        Self {
            first: NONE,
            last: NONE,
        }
    }
}

impl Lists {
    /// A new element that is in no list.
    pub(super) fn insert(&mut self, order: OrderId) -> u32 {
        let element = Element {
            order,
            tick: 0,
            rank: Rank::Live,
            before: NONE,
            after: NONE,
            is_listed: false,
        };
        if let Some(free) = self.free.pop() {
            self.elements[free as usize] = element;
            return free;
        }
        self.elements.push(element);
        // Admission bounds the live orders far below `u32::MAX`.
        u32::try_from(self.elements.len() - 1).unwrap_or(NONE)
    }

    /// Frees the element, listed or not: its number may be another's from now on.
    pub(super) fn remove(&mut self, index: u32) {
        if self.is_listed(index) {
            self.unlist(index);
        }
        self.free.push(index);
    }

    /// Whether the element is in a list.
    pub(super) fn is_listed(&self, index: u32) -> bool {
        self.elements[index as usize].is_listed
    }

    /// The tick of the first element of a list.
    pub(super) fn first_tick(&self, rank: Rank) -> Option<u32> {
        let first = self.elements.get(self.ends[rank as usize].first as usize)?;
        Some(first.tick)
    }

    /// Takes the first element out of a list.
    pub(super) fn take_first(&mut self, rank: Rank) -> Option<OrderId> {
        let index = self.ends[rank as usize].first;
        let order = self.elements.get(index as usize)?.order;
        self.unlist(index);
        Some(order)
    }

    /// Puts an element that is in no list at the end of one.
    pub(super) fn append(&mut self, index: u32, tick: u32, rank: Rank) {
        let last = self.ends[rank as usize].last;
        self.elements[index as usize] = Element {
            tick,
            rank,
            before: last,
            after: NONE,
            is_listed: true,
            ..self.elements[index as usize]
        };
        match last {
            NONE => self.ends[rank as usize].first = index,
            last => self.elements[last as usize].after = index,
        }
        self.ends[rank as usize].last = index;
    }

    /// Takes an element out of its list.
    pub(super) fn unlist(&mut self, index: u32) {
        let Element {
            rank,
            before,
            after,
            ..
        } = self.elements[index as usize];
        match before {
            NONE => self.ends[rank as usize].first = after,
            before => self.elements[before as usize].after = after,
        }
        match after {
            NONE => self.ends[rank as usize].last = before,
            after => self.elements[after as usize].before = before,
        }
        self.elements[index as usize].is_listed = false;
    }
}
