//! Maps each failure of the ports to a problem.

use std::time::Duration;

use axum::http::header;

use trackops_domain::stock::RestockRefused;

use super::etag;
use super::inventory::item_etag;
use super::problem::{Denied, Problem};
use super::problem_code::Code;
use crate::model::orders_error::OrdersError;
use crate::ports::access::AccessError;
use crate::ports::journal::JournalError;
use crate::ports::outbox::OutboxError;
use crate::ports::stock::{StockError, WriteRefused};
use crate::telemetry::outage::causes;

/// `Retry-After` while a database can't be reached: long enough to spare it, short enough that clients go on
/// within a second or two of its return.
const RETRY_AFTER: Duration = Duration::from_secs(1);

impl From<OrdersError> for Problem {
    fn from(error: OrdersError) -> Self {
        let detail = error.to_string();
        match error {
            OrdersError::NotFound => Self::new(Code::OrderNotFound, detail),
            OrdersError::Hidden => Self::new(Code::OrderNotFound, detail).denied(Denied::NotTheirs),
            OrdersError::Forbidden { current, .. } => Self::new(Code::Forbidden, detail)
                .standing_at(current)
                .denied(Denied::Step),
            OrdersError::Rejected(rejection) => {
                Self::new(Code::IllegalStep, detail).standing_at(rejection.current)
            }
            OrdersError::PreconditionFailed { current } => {
                Self::new(Code::PreconditionFailed, detail).header(header::ETAG, etag::of(current))
            }
            OrdersError::Broken { .. } => internal(&error),
            OrdersError::KeyReused => Self::new(Code::IdempotencyKeyReused, detail),
            OrdersError::NotInTransit { status } => {
                Self::new(Code::NotInTransit, detail).standing_at(status)
            }
            OrdersError::Quarantined => {
                // An operator has to act first; asking every second helps nobody.
                Self::new(Code::OrderQuarantined, detail).retry_after(Duration::from_secs(30))
            }
            OrdersError::Restarted => {
                Self::new(Code::OrderRestarted, detail).retry_after(RETRY_AFTER)
            }
            OrdersError::Overloaded { retry_after, .. } => {
                Self::new(Code::Overloaded, detail).retry_after(retry_after)
            }
            OrdersError::NotOwner | OrdersError::LeaseOver => {
                Self::new(Code::Unavailable, detail).retry_after(RETRY_AFTER)
            }
            OrdersError::Unavailable { retry_after, .. }
            | OrdersError::OwnerUnavailable { retry_after, .. } => {
                Self::new(Code::Unavailable, detail).retry_after(retry_after)
            }
        }
    }
}

impl From<JournalError> for Problem {
    fn from(error: JournalError) -> Self {
        match &error {
            JournalError::Unavailable(_) => unavailable(&error),
            JournalError::Corrupt(_) => internal(&error),
        }
    }
}

impl From<StockError> for Problem {
    fn from(error: StockError) -> Self {
        match &error {
            StockError::Unavailable(_) => unavailable(&error),
            StockError::BadRequest(_) => internal(&error),
            StockError::Refused(refused) => (*refused).into(),
        }
    }
}

impl From<WriteRefused> for Problem {
    fn from(refused: WriteRefused) -> Self {
        let detail = refused.to_string();
        match refused {
            WriteRefused::KeyReused => Self::new(Code::IdempotencyKeyReused, detail),
            WriteRefused::Restock(RestockRefused::BelowReserved { reserved }) => {
                Self::new(Code::BelowReserved, detail).reserved(reserved)
            }
            WriteRefused::Restock(RestockRefused::TooMany) => Self::invalid_field("/delta", detail),
            WriteRefused::PreconditionFailed { current } => {
                let problem = Self::new(Code::PreconditionFailed, detail);
                match current {
                    Some(version) => problem.header(header::ETAG, item_etag::of(version)),
                    None => problem,
                }
            }
            WriteRefused::UnknownItem => Self::new(Code::ItemNotFound, detail),
        }
    }
}

impl From<AccessError> for Problem {
    fn from(error: AccessError) -> Self {
        match &error {
            AccessError::Unavailable(_) => unavailable(&error),
            AccessError::Corrupt(_) => internal(&error),
        }
    }
}

impl From<OutboxError> for Problem {
    fn from(error: OutboxError) -> Self {
        unavailable(&error)
    }
}

/// A dependency can't be reached. The client learns only which dependency it is.
pub fn unavailable(error: &dyn std::error::Error) -> Problem {
    Problem::new(Code::Unavailable, error.to_string())
        .retry_after(RETRY_AFTER)
        .caused_by(causes(error))
}

/// A fault of ours.
pub fn internal(error: &dyn std::error::Error) -> Problem {
    Problem::new(Code::InternalError, error.to_string()).caused_by(causes(error))
}
