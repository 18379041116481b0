//! Why a call has no result, in four kinds that ask for different things.

use thiserror::Error;

use super::problem::Problem;

/// How much of a foreign answer is kept: enough to recognise it.
const EXCERPT_CHARS: usize = 120;

/// A call's failure. No text in it has the user or password of a URL. Texts of a server are as it sent them:
/// before they are shown on a terminal, its control characters have to go.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Error {
    /// The call makes no sense as it was asked for, and was not sent: a URL that is none, a key that no header
    /// can hold, certificates that can't be read.
    #[error("{0}")]
    Usage(String),
    /// No answer came.
    #[error("no answer from {url}: {cause}")]
    NoAnswer {
        /// The server, without user and password.
        url: String,
        /// Whether the request may have reached the server: then what it asked for may have happened. `false`
        /// if there was no connection.
        was_sent: bool,
        /// The innermost cause, such as `connection refused`.
        cause: String,
    },
    /// The server refused, and said why.
    #[error("{}: {}", .0.title, .0.detail)]
    Refused(Box<Problem>),
    /// Something answered that isn't `TrackOps`, or not as it is documented: a proxy as a rule.
    #[error("{url} answered {status}, but not as TrackOps does: {excerpt}")]
    Foreign {
        /// The address of the request, without user and password.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The beginning of the body.
        excerpt: String,
        /// `Retry-After` in seconds, if it was there.
        retry_after_seconds: Option<u64>,
    },
}

impl Error {
    /// The problem that the server refused with.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Refused(problem) => Some(problem),
            _ => None,
        }
    }

    /// The HTTP status of the answer, if there was one.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused(problem) => Some(problem.status),
            Self::Foreign { status, .. } => Some(*status),
            Self::Usage(_) | Self::NoAnswer { .. } => None,
        }
    }

    /// An answer that isn't as documented.
    pub(crate) fn foreign(url: &str, status: u16, body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        let excerpt: String = text.chars().take(EXCERPT_CHARS).collect();
        Self::Foreign {
            url: url.into(),
            status,
            excerpt: excerpt.trim().into(),
            retry_after_seconds: None,
        }
    }
}

/// The message of an error's innermost cause.
pub(crate) fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    loop {
        if let Some(io) = cause.downcast_ref::<std::io::Error>()
            && io.kind() == std::io::ErrorKind::ConnectionRefused
        {
            return "connection refused".into();
        }
        match cause.source() {
            Some(source) => cause = source,
            None => return cause.to_string(),
        }
    }
}
