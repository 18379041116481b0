//! The level of an item as its row has it. Leaves the row to whoever reads it.

use trackops_domain::stock::Level;

/// The schema keeps both from being negative.
pub(super) fn level_of(on_hand: i64, reserved: i64) -> Level {
    Level {
        on_hand: u64::try_from(on_hand).unwrap_or(0),
        reserved: u64::try_from(reserved).unwrap_or(0),
    }
}
