//! Stock that keeps the port's contract in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;
use parking_lot::Mutex;
use trackops::ports::stock::{
    Adjustment, Condition, Item, Replies, ReservationView, StockError, StockOutcome, StockRequest,
    StockStore, WriteRefused,
};
use trackops_domain::ids::{OrderId, Sku};
use trackops_domain::stock::{Level, Restock};
use trackops_domain::time::Timestamp;

use super::doubles::away;

/// Stock; two of every item are reserved.
#[derive(Default)]
pub struct MemoryStock {
    /// On hand, and the version.
    levels: Mutex<BTreeMap<Sku, (u64, u64)>>,
    keys: Mutex<BTreeMap<String, u64>>,
    adjustments: Mutex<Vec<Adjustment>>,
    pub reservations: Mutex<BTreeMap<OrderId, ReservationView>>,
}

const RESERVED: u64 = 2;

impl MemoryStock {
    fn stored(&self, sku: &Sku) -> Option<Item> {
        let items = self.levels.lock();
        let (on_hand, version) = *items.get(sku)?;
        Some(item(on_hand, version))
    }
}

fn item(on_hand: u64, version: u64) -> Item {
    let level = Level {
        on_hand,
        reserved: RESERVED,
    };
    Item { level, version }
}

#[async_trait]
impl StockStore for MemoryStock {
    async fn apply(
        &self,
        _: &[StockRequest],
        _: Timestamp,
    ) -> Result<Vec<StockOutcome>, StockError> {
        Err(StockError::Unavailable(away()))
    }

    async fn set_on_hand(
        &self,
        sku: &Sku,
        on_hand: u64,
        condition: &Condition,
        key: Option<&str>,
    ) -> Result<(Item, bool), StockError> {
        if let Some(seen) = key.and_then(|key| self.keys.lock().get(key).copied()) {
            let version = self.stored(sku).map_or(0, |item| item.version);
            if seen == on_hand {
                return Ok((item(on_hand, version), true));
            }
            return Err(WriteRefused::KeyReused.into());
        }
        let version = self.stored(sku).map(|item| item.version);
        condition.check(version)?;
        let before = item(0, 0).level;
        before
            .restocked(Restock::To(on_hand))
            .map_err(WriteRefused::from)?;
        let version = version.unwrap_or(0) + 1;
        self.levels.lock().insert(sku.clone(), (on_hand, version));
        if let Some(key) = key {
            self.keys.lock().insert(key.into(), on_hand);
        }
        Ok((item(on_hand, version), false))
    }

    async fn adjust(
        &self,
        sku: &Sku,
        delta: i64,
        reason: &str,
        _: Option<&str>,
    ) -> Result<(Adjustment, bool), StockError> {
        let stored = self.stored(sku).ok_or(WriteRefused::UnknownItem)?;
        let level = stored.level.restocked(Restock::By(delta));
        let on_hand = level.map_err(WriteRefused::from)?.on_hand;
        let version = stored.version + 1;
        self.levels.lock().insert(sku.clone(), (on_hand, version));
        let mut adjustments = self.adjustments.lock();
        let adjustment = Adjustment {
            id: i64::try_from(adjustments.len()).expect("few") + 1,
            delta,
            reason: reason.into(),
            at: Timestamp(1_767_225_600_000),
            item: item(on_hand, version),
        };
        adjustments.push(adjustment.clone());
        Ok((adjustment, false))
    }

    async fn adjustments(
        &self,
        _: &Sku,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Adjustment>, StockError> {
        let adjustments = self.adjustments.lock();
        let wanted = adjustments.iter().rev();
        let wanted = wanted.filter(|one| before.is_none_or(|before| one.id < before));
        Ok(wanted.take(limit as usize).cloned().collect())
    }

    async fn item(&self, sku: &Sku) -> Result<Option<Item>, StockError> {
        Ok(self.stored(sku))
    }

    async fn items(&self, after: Option<&Sku>, limit: u32) -> Result<Vec<(Sku, Item)>, StockError> {
        let levels = self.levels.lock();
        Ok(levels
            .iter()
            .filter(|(sku, _)| after.is_none_or(|after| *sku > after))
            .take(limit as usize)
            .map(|(sku, (on_hand, version))| (sku.clone(), item(*on_hand, *version)))
            .collect())
    }

    async fn reservation(&self, order: OrderId) -> Result<Option<ReservationView>, StockError> {
        Ok(self.reservations.lock().get(&order).cloned())
    }

    async fn replies(&self) -> Result<Replies, StockError> {
        Ok(Replies::default())
    }

    async fn ping(&self) -> Result<(), StockError> {
        Ok(())
    }
}
