//! Decides a batch of requests on the rows that an adapter has loaded and locked. The adapter stores what is
//! decided.

use std::collections::BTreeMap;

use super::record::{Answer, Record};
use super::{Ledger, Level, Outcome, Request, Reservation};
use crate::ids::{OrderId, Sku};
use crate::time::Timestamp;

/// The stored rows that a batch touches. An order or an item that is nowhere here is unknown.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Reservations.
    pub records: BTreeMap<OrderId, Record>,
    /// Items.
    pub levels: BTreeMap<Sku, Level>,
    /// Reservations whose rows can't be read, and why.
    pub unreadable_records: BTreeMap<OrderId, String>,
    /// Items whose rows can't be read, and why.
    pub unreadable_levels: BTreeMap<Sku, String>,
}

/// The outcome of a request of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StockOutcome {
    /// New state stored, reply (if any) in the outbox.
    Applied(Reservation),
    /// Seen before: the earlier reply is in the outbox again, under its first id.
    Repeated,
    /// Nothing to do.
    Ignored,
    /// The stored rows of the order, or of an item that it touches, can't be read. Nothing was changed
    /// for the request, and nothing will be until an operator has repaired the row.
    Unreadable(String),
}

/// What a batch changes, and its answers.
#[derive(Debug, Default)]
pub struct Decided {
    /// One for each request.
    pub outcomes: Vec<StockOutcome>,
    /// One for each request: what to publish, if anything.
    pub answers: Vec<Option<Answer>>,
    /// Reservations that are new or changed.
    pub records: BTreeMap<OrderId, Record>,
    /// Items that are changed.
    pub levels: BTreeMap<Sku, Level>,
}

impl Loaded {
    /// Checks I6. Returns an item with more reserved than on hand, or one with less reserved than live
    /// reservations hold. `None` if I6 holds.
    pub fn unsound(&self) -> Option<&Sku> {
        let mut sums = BTreeMap::<&Sku, u64>::new();
        let held = self.records.values();
        let held = held.filter(|record| record.state == Reservation::Held);
        for (sku, quantity) in held.flat_map(|record| &record.items) {
            *sums.entry(sku).or_default() += quantity;
        }
        let mut levels = self.levels.iter();
        let over = levels.find(|(_, level)| level.reserved > level.on_hand);
        let under = || {
            let level = |sku| self.levels.get(sku);
            sums.into_iter()
                .find(|(sku, sum)| level(*sku).is_none_or(|level| level.reserved < *sum))
        };
        over.map(|(sku, _)| sku).or_else(|| Some(under()?.0))
    }

    /// Why `request` of `order` can't be decided, if a row that it needs can't be read; `known` is the
    /// order's reservation.
    fn unreadable(
        &self,
        order: OrderId,
        request: &Request,
        known: Option<&Record>,
    ) -> Option<String> {
        if let Some(why) = self.unreadable_records.get(&order) {
            return Some(format!("the order's reservation can't be read: {why}"));
        }
        if self.unreadable_levels.is_empty() {
            return None;
        }
        let touched = match request {
            Request::Reserve(demand) => demand,
            Request::Release | Request::Ship => &known?.items,
        };
        let bad = |sku| self.unreadable_levels.get(sku).map(|why| (sku, why));
        let (sku, why) = touched.iter().find_map(|(sku, _)| bad(sku))?;
        Some(format!("item {sku} can't be read: {why}"))
    }
}

/// Decides `requests` in their order, each on what the ones before have left.
pub fn decide<'a>(
    loaded: &Loaded,
    requests: impl IntoIterator<Item = (OrderId, &'a Request)>,
    now: Timestamp,
) -> Decided {
    let mut ledger = Ledger::new(loaded.levels.clone());
    let mut decided = Decided::default();
    for (order, request) in requests {
        let known = decided.records.get(&order);
        let known = known.or_else(|| loaded.records.get(&order));
        let held = known.map_or(&[][..], |record| &record.items);
        let (outcome, answer) = if let Some(why) = loaded.unreadable(order, request, known) {
            (StockOutcome::Unreadable(why), None)
        } else {
            match ledger.apply(request, known.map(|record| record.state), held) {
                Outcome::Ignored => (StockOutcome::Ignored, None),
                Outcome::Repeat => {
                    let answer = known.and_then(|record| record.answer(request));
                    (StockOutcome::Repeated, answer)
                }
                Outcome::Now { state, reply } => {
                    let record = Record::after(known, request, state, reply.as_ref(), now);
                    let answer = reply.and_then(|_| record.answer(request));
                    decided.records.insert(order, record);
                    (StockOutcome::Applied(state), answer)
                }
            }
        };
        decided.outcomes.push(outcome);
        decided.answers.push(answer);
    }
    decided.levels = ledger.levels;
    let is_changed = |sku: &Sku, level: &mut Level| loaded.levels.get(sku) != Some(level);
    decided.levels.retain(is_changed);
    decided
}
