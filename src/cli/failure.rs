//! Why a client command failed, in words for the person who typed it.

use thiserror::Error;
use trackops_client::Problem;

use super::problem::particulars;

/// Wrong usage; clap's own exit code.
const EXIT_USAGE: u8 = 2;
/// Refused or failed.
const EXIT_FAILED: u8 = 1;

/// A client command's failure.
#[derive(Debug, Error)]
pub enum CliError {
    /// The arguments don't make sense together.
    #[error("{0}")]
    Usage(String),
    /// Nothing answers at the address.
    #[error("can't reach {url}: {cause}: {hint}")]
    Unreachable {
        /// The address.
        url: String,
        /// The system's message.
        cause: String,
        /// What to start or to set.
        hint: String,
    },
    /// The exchange broke off.
    #[error("no answer from {url}: {cause}")]
    NoAnswer {
        /// The address.
        url: String,
        /// The system's message.
        cause: String,
    },
    /// The server refused, and said why.
    #[error("{}: {}", .0.title, .0.detail)]
    Refused(Box<Problem>),
    /// A server that is not TrackOps answered.
    #[error("{url} answered {status}, but not as TrackOps does: {excerpt}")]
    Foreign {
        /// The address.
        url: String,
        /// HTTP status.
        status: u16,
        /// The beginning of the body.
        excerpt: String,
    },
    /// There is nothing to do although something was asked for.
    #[error("{0}")]
    Nothing(String),
    /// A file can't be read.
    #[error("can't read {name}: {source}")]
    Input {
        /// Which.
        name: String,
        /// Why.
        source: std::io::Error,
    },
    /// Standard output is closed or full.
    #[error("can't write to standard output: {0}")]
    Output(#[source] std::io::Error),
}

impl CliError {
    /// The exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => EXIT_USAGE,
            _ => EXIT_FAILED,
        }
    }

    /// The text to print: one line, and below it the fields and steps that a refusal names.
    pub fn report(&self) -> String {
        let mut report = format!("trackops: {self}").replace(['\n', '\r'], " ");
        if let Self::Refused(problem) = self {
            for line in particulars(problem) {
                report.push_str("\n  ");
                report.push_str(&line);
            }
        }
        report
    }
}
