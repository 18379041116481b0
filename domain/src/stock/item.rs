//! An item as clients see and write it. Decides a write on what is stored: under its condition, or as the
//! repeat of an earlier write under the same idempotency key.

use thiserror::Error;

use super::{Level, Restock, RestockRefused};
use crate::ids::Sku;
use crate::time::Timestamp;

/// How long an idempotency key is remembered. A client retries within minutes; a week covers one that was
/// switched off over a weekend.
pub const KEY_DAYS: i32 = 7;

/// An item as stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Item {
    /// How many.
    pub level: Level,
    /// 1 when the item was first stocked. It rises with every change, also of the reserved quantity.
    pub version: u64,
}

/// A client's change of an item's quantity by an amount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adjustment {
    /// Rises with each adjustment.
    pub id: i64,
    /// How many more, or fewer.
    pub delta: i64,
    /// In the client's words.
    pub reason: String,
    /// When.
    pub at: Timestamp,
    /// The item after it.
    pub item: Item,
}

/// A write that is refused. Nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WriteRefused {
    /// The idempotency key was used for something else.
    #[error("the idempotency key was used with another item or quantity")]
    KeyReused,
    /// The item doesn't allow the change.
    #[error(transparent)]
    Restock(#[from] RestockRefused),
    /// The item's version doesn't meet the condition.
    #[error("the item has another version")]
    PreconditionFailed {
        /// Its version; `None` if there is none.
        current: Option<u64>,
    },
    /// There is no such item.
    #[error("no such item")]
    UnknownItem,
}

/// Which versions of an item a condition names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Versions {
    /// Any version: the item must exist.
    Any,
    /// One of these.
    OneOf(Vec<u64>),
}

impl Versions {
    fn have(&self, current: Option<u64>) -> bool {
        match (self, current) {
            (Self::Any, current) => current.is_some(),
            (Self::OneOf(versions), Some(current)) => versions.contains(&current),
            (Self::OneOf(_), None) => false,
        }
    }
}

/// The condition for writing an item (RFC 9110, 13.1.1 and 13.1.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// The item must have one of these versions.
    pub if_match: Option<Versions>,
    /// The item must have none of these versions.
    pub if_none_match: Option<Versions>,
}

impl Condition {
    /// Checks whether an item of version `current` may be written. `None` means that the item doesn't
    /// exist.
    pub fn check(&self, current: Option<u64>) -> Result<(), WriteRefused> {
        let is_wanted = self.if_match.as_ref().is_none_or(|v| v.have(current));
        let is_unwanted = self.if_none_match.as_ref().is_some_and(|v| v.have(current));
        if is_wanted && !is_unwanted {
            return Ok(());
        }
        Err(WriteRefused::PreconditionFailed { current })
    }
}

/// The level of the item `stored` after `change`. Only [`Restock::To`] creates an item.
pub fn restock(
    stored: Option<Item>,
    change: Restock,
    condition: &Condition,
) -> Result<Level, WriteRefused> {
    if stored.is_none() && matches!(change, Restock::By(_)) {
        return Err(WriteRefused::UnknownItem);
    }
    condition.check(stored.map(|item| item.version))?;
    Ok(stored.unwrap_or_default().level.restocked(change)?)
}

/// The write that an idempotency key stands for, and the answer to its first use, as stored.
#[derive(Debug)]
pub struct KnownKey {
    /// Which item.
    pub sku: String,
    /// The quantity that was set; [`KnownKey::ADJUSTMENT`] for an adjustment.
    pub on_hand: i64,
    /// What was reserved then. `None` for a key that is older than this column.
    pub reserved: Option<i64>,
    /// The item's version then. `None` for a key that is older than this column, too.
    pub version: Option<i64>,
    /// The adjustment.
    pub adjustment: Option<i64>,
}

impl KnownKey {
    /// Stored as the quantity of an adjustment; no client can set this quantity.
    pub const ADJUSTMENT: i64 = -1;

    /// The first answer again, if the key was used to set the item `sku` to `on_hand`. Values that the
    /// version of that time didn't store are taken from the item as it is `now`.
    pub fn set_again(
        &self,
        sku: &Sku,
        on_hand: u64,
        now: Option<Item>,
    ) -> Result<Item, WriteRefused> {
        if self.sku != sku.as_str() || u64::try_from(self.on_hand) != Ok(on_hand) {
            return Err(WriteRefused::KeyReused);
        }
        let count = |n: i64| u64::try_from(n).unwrap_or(0);
        let now = now.unwrap_or_default();
        let level = self.reserved.map(|reserved| Level {
            on_hand,
            reserved: count(reserved),
        });
        Ok(Item {
            level: level.unwrap_or(now.level),
            version: self.version.map_or(now.version, count),
        })
    }

    /// The `first` adjustment again, if the key was used to adjust `sku` by `delta` for that `reason`.
    pub fn adjusted_again(
        &self,
        sku: &Sku,
        delta: i64,
        reason: &str,
        first: Option<Adjustment>,
    ) -> Result<Adjustment, WriteRefused> {
        let is_same = |first: &Adjustment| {
            self.sku == sku.as_str() && first.delta == delta && first.reason == reason
        };
        first.filter(is_same).ok_or(WriteRefused::KeyReused)
    }
}
