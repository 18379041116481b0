//! Where the documents of issuers come from.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use thiserror::Error;
use url::Url;

/// Where the documents of issuers come from.
#[async_trait]
pub trait DocumentSource: Send + Sync + 'static {
    /// The document at `url`. It may take any time: the caller ends it.
    async fn get(&self, url: &Url) -> Result<Document, FetchError>;
}

/// A document of an issuer.
pub struct Document {
    /// What it says.
    pub body: Bytes,
    /// For how long it is good (`Cache-Control: max-age`), if it says so.
    pub max_age: Option<Duration>,
}

/// Why the keys of an issuer can't be had.
#[derive(Debug, Error)]
pub enum FetchError {
    /// Nobody answers, or not over TLS.
    #[error("can't reach {url}")]
    Unreachable {
        /// Where.
        url: Url,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It all takes too long.
    #[error("no answer in time")]
    TooSlow,
    /// Anything but a 200. Redirects aren't followed.
    #[error("{url} answers {status}")]
    Status {
        /// Where.
        url: Url,
        /// With what.
        status: u16,
    },
    /// The answer isn't what it has to be.
    #[error("{url} {problem}")]
    Document {
        /// Where.
        url: Url,
        /// What is wrong with it.
        problem: &'static str,
    },
}

impl FetchError {
    /// Its name in metrics.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "unreachable",
            Self::TooSlow => "too-slow",
            Self::Status { .. } => "status",
            Self::Document { .. } => "document",
        }
    }
}
