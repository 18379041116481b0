//! Makes an item's level from the columns of its row. Leaves reading the row to its callers.

use trackops_domain::stock::Level;

/// The schema keeps both from being negative.
pub(super) fn level_of(on_hand: i64, reserved: i64) -> Level {
    Level {
        on_hand: u64::try_from(on_hand).unwrap_or(0),
        reserved: u64::try_from(reserved).unwrap_or(0),
    }
}
