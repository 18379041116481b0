//! The errors of the file, by what they mean for the caller.

use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

/// Why the data directory can't be used.
#[derive(Debug, Error)]
pub enum OpenError {
    /// It can't be created or written to.
    #[error("the data directory {} can't be used", dir.display())]
    Directory {
        /// Which.
        dir: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// Another process (or another part of this one) has it open.
    #[error("the data directory {} is in use by another process: stop that one, or choose another with --data-dir", dir.display())]
    Locked {
        /// Which.
        dir: PathBuf,
    },
    /// It was written by a newer version of this program.
    #[error("the data in {} has form {found}, this version knows up to {known}", dir.display())]
    Newer {
        /// Which.
        dir: PathBuf,
        /// The form of the data.
        found: i64,
        /// The newest form known here.
        known: i64,
    },
    /// The file is no database, damaged, or can't be opened.
    #[error("the database in {} can't be opened", dir.display())]
    Database {
        /// Which directory.
        dir: PathBuf,
        /// The database's word.
        source: sqlx::Error,
    },
}

/// Why a write failed. Shared by every request of a transaction, hence the `Arc`s.
#[derive(Clone, Debug, Error)]
pub enum WriteError {
    /// The data breaks a rule of the schema; this request alone was rolled back.
    #[error("the database refused the data")]
    Refused(#[source] Arc<sqlx::Error>),
    /// The write certainly did not happen.
    #[error("the database failed")]
    Failed(#[source] Arc<sqlx::Error>),
    /// The commit itself failed: after a crash the file may contain the write or not.
    #[error("the database failed during a commit")]
    Unknown(#[source] Arc<sqlx::Error>),
    /// The store was closed before the writer took the request.
    #[error("the database is closed")]
    Closed,
    /// The writer ended before it answered the request.
    #[error("the writer ended")]
    Lost,
}

impl WriteError {
    /// Classifies the error of a request that was rolled back.
    pub(super) fn of_work(error: sqlx::Error) -> Self {
        if refuses_data(&error) {
            Self::Refused(Arc::new(error))
        } else {
            Self::Failed(Arc::new(error))
        }
    }
}

/// `SQLITE_TOOBIG`, `SQLITE_CONSTRAINT`, `SQLITE_MISMATCH`: the data's fault, not the file's
/// (<https://www.sqlite.org/rescode.html>). The primary code is the low byte of an extended one.
fn refuses_data(error: &sqlx::Error) -> bool {
    const DATA_CODES: [i32; 3] = [18, 19, 20];
    match error {
        sqlx::Error::Encode(_) => true,
        sqlx::Error::Database(error) => error
            .code()
            .and_then(|code| code.parse::<i32>().ok())
            .is_some_and(|code| DATA_CODES.contains(&(code & 0xff))),
        _ => false,
    }
}

/// An error of our own making inside a write, e.g. data that is refused before it is sent.
pub(super) fn refused(why: &'static str) -> sqlx::Error {
    sqlx::Error::Encode(why.into())
}

/// A stored value that makes no sense.
pub(super) fn corrupt(why: &'static str) -> sqlx::Error {
    sqlx::Error::Decode(why.into())
}
