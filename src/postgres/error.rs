//! What a failure says about its statement: not run, refused, or unknown.

use sqlx::postgres::{PgDatabaseError, PgSeverity};
use thiserror::Error;

use crate::ports::journal::{AppendError, BoxError, JournalError};
use crate::ports::outbox::OutboxError;
use crate::ports::stock::StockError;

/// Why a call failed.
#[derive(Debug, Error)]
pub(super) enum Failure {
    /// No connection: nothing was sent.
    #[error("no connection")]
    NotStarted(#[source] BoxError),
    /// The server refused it and has undone it.
    #[error("refused with SQLSTATE {code}")]
    Refused {
        /// SQLSTATE.
        code: String,
        /// What the server said.
        source: BoxError,
    },
    /// Sent, without a reliable answer: it may have been committed, or may still be.
    #[error("the connection was lost")]
    Lost(#[source] BoxError),
    /// An answer came that can't be understood.
    #[error("the answer can't be read")]
    Unreadable(#[source] BoxError),
}

impl Failure {
    /// The failure of a statement that was sent.
    pub fn of_run(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(refused) => {
                let code = refused.code().unwrap_or_default().into_owned();
                // Connection exceptions, shutdowns and other errors that end the session or the server. They
                // say that it ends, not whether the commit came first.
                let is_end = refused
                    .try_downcast_ref::<PgDatabaseError>()
                    .is_some_and(|refused| {
                        matches!(refused.severity(), PgSeverity::Fatal | PgSeverity::Panic)
                    });
                let is_lost = code.is_empty() || code.starts_with("08");
                if is_end || is_lost || matches!(&*code, "57P01" | "57P02") {
                    return Self::Lost(refused.into());
                }
                Self::Refused {
                    code,
                    source: refused.into(),
                }
            }
            // Failed while the parameters were put together, before anything was sent.
            sqlx::Error::Encode(error) => Self::Refused {
                code: "22000".into(),
                source: error,
            },
            error @ (sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::ColumnIndexOutOfBounds { .. }
            | sqlx::Error::Decode(_)
            | sqlx::Error::RowNotFound) => Self::Unreadable(error.into()),
            error => Self::Lost(error.into()),
        }
    }

    /// Whether the connection is in a known state and can be used again. If not, it is closed; so is one that
    /// may have cached a plan of an older schema.
    pub fn leaves_connection(&self) -> bool {
        match self {
            Self::Refused { code, .. } => {
                self.is_bad_data() || self.is_transient() || code == "55P03" || code == "57014"
            }
            _ => false,
        }
    }

    /// SQLSTATE class 22 (data exception) or 23 (constraint violation).
    pub fn is_bad_data(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code.starts_with("22") || code.starts_with("23"))
    }

    /// Serialization failure or deadlock: a retry may well succeed.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code == "40001" || code == "40P01")
    }

    /// Whether the server refused with this SQLSTATE.
    pub fn has_code(&self, wanted: &str) -> bool {
        matches!(self, Self::Refused { code, .. } if code == wanted)
    }
}

/// Whether the error says that this server can't be used, or not any more: it is read-only, as a standby is
/// (25006), or it is stopping, has crashed, or isn't up yet (57P01 to 57P03).
pub(super) fn is_of_another_server(error: &sqlx::Error) -> bool {
    let refused = error.as_database_error();
    let code = refused.and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| matches!(&*code, "25006" | "57P01" | "57P02" | "57P03"))
}

impl From<Failure> for AppendError {
    fn from(failure: Failure) -> Self {
        if failure.is_bad_data() {
            return Self::BadRow(failure.into());
        }
        match failure {
            Failure::NotStarted(_) | Failure::Refused { .. } => Self::Unavailable(failure.into()),
            Failure::Lost(_) | Failure::Unreadable(_) => Self::Unknown(failure.into()),
        }
    }
}

impl From<Failure> for JournalError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unreadable(_) => Self::Corrupt(failure.into()),
            _ => Self::Unavailable(failure.into()),
        }
    }
}

impl From<Failure> for OutboxError {
    fn from(failure: Failure) -> Self {
        Self(failure.into())
    }
}

impl From<Failure> for StockError {
    fn from(failure: Failure) -> Self {
        if failure.is_bad_data() {
            return Self::BadRequest(failure.into());
        }
        Self::Unavailable(failure.into())
    }
}
