//! Why the files of a certificate can't be used. Shows no byte of them.

use std::io;
use std::path::PathBuf;

use thiserror::Error;
use tokio_rustls::rustls;

use super::problem::Problem;

/// Why the files can't be used; names the file.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file can't be read.
    #[error("can't read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is larger than such a file is.
    #[error("{} has more than {bytes_max} bytes", path.display())]
    TooLarge {
        /// Which.
        path: PathBuf,
        /// The bound.
        bytes_max: usize,
    },
    /// There is no certificate in a file, or one of them isn't PEM.
    #[error("{} needs certificates in PEM", path.display())]
    NoCertificate {
        /// Which.
        path: PathBuf,
    },
    /// There is no private key in the file.
    #[error("{} needs a private key in PEM, not encrypted", path.display())]
    NoKey {
        /// Which.
        path: PathBuf,
    },
    /// An authority has a form that isn't known.
    #[error("an authority in {} can't be read", path.display())]
    Authority {
        /// Which file.
        path: PathBuf,
    },
    /// Certificate and key don't belong together, or the key is of an unknown kind.
    #[error("{} and {} don't go together", cert.display(), key.display())]
    Pair {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// Other replicas with the same authorities would refuse the certificate.
    #[error("the certificate in {} doesn't serve: {why}", path.display())]
    Refused {
        /// The certificate's file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// TLS itself can't be set up.
    #[error("no TLS: {0}")]
    Setup(String),
}

impl TlsError {
    /// With what is behind it, in one line.
    pub(super) fn told(&self) -> String {
        match std::error::Error::source(self) {
            Some(cause) => format!("{self}: {cause}"),
            None => self.to_string(),
        }
    }

    pub(super) fn refused(path: PathBuf, error: &rustls::Error) -> Self {
        let why = Problem::of(error).to_string();
        Self::Refused { path, why }
    }
}
