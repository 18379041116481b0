//! The caller's error when the journal is away, or refuses data or can't give it. Which HTTP status the error
//! gets is decided elsewhere.

use std::time::Duration;

use super::writer::WriteError;
use crate::model::orders_error::OrdersError;
use crate::ports::journal::JournalError;

/// How long a caller should wait when the journal is away: an outage takes seconds, or it takes minutes.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The caller's error for a write that did not happen.
pub(super) fn failed(error: WriteError) -> OrdersError {
    match error {
        WriteError::Unavailable => unavailable("the journal is away"),
        WriteError::Unknown => unavailable("the journal was lost; the outcome is being settled"),
        WriteError::NotOwner => OrdersError::NotOwner,
        WriteError::Conflict => OrdersError::Restarted,
        WriteError::Refused => OrdersError::Broken {
            why: "the journal refuses the data",
        },
    }
}

/// The caller's error for a load that failed.
pub(super) fn load_failed(error: JournalError) -> OrdersError {
    match error {
        JournalError::Unavailable(_) => unavailable("the journal is away"),
        JournalError::Corrupt(source) => {
            tracing::error!(%source, "a stored order can't be read");
            OrdersError::Broken {
                why: "the stored order can't be read",
            }
        }
    }
}

/// The error for a request that is not possible now; `why` goes into the problem's detail.
pub(super) fn unavailable(why: &'static str) -> OrdersError {
    OrdersError::Unavailable {
        why,
        retry_after: RETRY_AFTER,
    }
}
