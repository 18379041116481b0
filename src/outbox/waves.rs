//! What may be published together: a row goes only when every lower (version, ordinal) of its order
//! has gone, so each wave holds at most one row of an order.

use std::collections::HashMap;

use trackops_domain::ids::OrderId;

use crate::ports::outbox::OutboxEntry;

/// The rows of one fetch, by order.
pub(super) struct Waves {
    /// Of each order, the lowest row last.
    queues: Vec<Vec<OutboxEntry>>,
    /// The orders that go on.
    active: Vec<usize>,
}

/// A row and the order that it stands for in [`Waves`].
pub(super) struct Wave {
    pub(super) entries: Vec<OutboxEntry>,
    orders: Vec<usize>,
}

impl Waves {
    pub(super) fn new(entries: Vec<OutboxEntry>) -> Self {
        let mut places = HashMap::<OrderId, usize>::with_capacity(entries.len());
        let mut queues = Vec::<Vec<OutboxEntry>>::with_capacity(entries.len());
        for entry in entries {
            let place = *places.entry(entry.order).or_insert_with(|| {
                queues.push(Vec::new());
                queues.len() - 1
            });
            queues[place].push(entry);
        }
        for queue in &mut queues {
            queue.sort_by_key(|entry| {
                std::cmp::Reverse((entry.row.version, entry.row.ordinal, entry.seq))
            });
        }
        Self {
            active: (0..queues.len()).collect(),
            queues,
        }
    }

    /// The next row of each order that goes on; `None` when there is no more.
    pub(super) fn next(&mut self) -> Option<Wave> {
        let mut entries = Vec::with_capacity(self.active.len());
        let queues = &mut self.queues;
        self.active.retain(|place| {
            let next = queues[*place].pop();
            next.map(|entry| entries.push(entry)).is_some()
        });
        (!entries.is_empty()).then(|| Wave {
            entries,
            orders: self.active.clone(),
        })
    }

    /// The `index`-th row of `wave` did not go: nothing more of its order may, in this fetch.
    pub(super) fn stop_order(&mut self, wave: &Wave, index: usize) {
        self.queues[wave.orders[index]].clear();
    }
}
