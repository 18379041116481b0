//! What went wrong between two ends, in words. The same fault has the same words each time, so that a
//! repeated one can be told once: rustls would put the time of day into them.

use std::io;

use thiserror::Error;
use tokio_rustls::rustls::{self, AlertDescription, CertificateError};

use super::name::LINK_NAME;

/// As which a connection ends that the other end has closed.
const CLOSED: [io::ErrorKind; 3] = [
    io::ErrorKind::UnexpectedEof,
    io::ErrorKind::ConnectionReset,
    io::ErrorKind::BrokenPipe,
];

/// Why there is no TLS with the other end.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Problem {
    /// What came isn't TLS: the other end has only the shared secret, or isn't a replica.
    #[error("the other end doesn't speak it")]
    NotSpoken,
    /// It ended before TLS had begun.
    #[error("the other end closed the connection")]
    Closed,
    /// The other end shows no certificate.
    #[error("the other end shows no certificate")]
    NoCertificate,
    /// Its time is over.
    #[error("the certificate has expired")]
    Expired,
    /// Its time hasn't come.
    #[error("the certificate isn't valid yet")]
    NotYet,
    /// It isn't for links.
    #[error("the certificate lacks the DNS name {LINK_NAME}")]
    Name,
    /// Nobody trusted has signed it.
    #[error("no authority of link_tls_ca has signed the certificate")]
    Authority,
    /// It is for servers only, or for clients only.
    #[error("the certificate's extended key usage must have both server and client authentication")]
    Purpose,
    /// The other end refused what this one has shown.
    #[error("the other end refused: {0:?}")]
    Alert(AlertDescription),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl Problem {
    pub(super) fn of(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidMessage(_) => Self::NotSpoken,
            rustls::Error::NoCertificatesPresented => Self::NoCertificate,
            rustls::Error::AlertReceived(alert) => Self::Alert(*alert),
            rustls::Error::InvalidCertificate(certificate) => Self::of_certificate(certificate),
            other => Self::Other(other.to_string()),
        }
    }

    fn of_certificate(error: &CertificateError) -> Self {
        match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Self::NotYet
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Self::Name
            }
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::Authority,
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                Self::Purpose
            }
            other => Self::Other(format!("the certificate can't be used: {other:?}")),
        }
    }
}

impl From<rustls::Error> for Problem {
    fn from(error: rustls::Error) -> Self {
        Self::of(&error)
    }
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        let inner = error.get_ref();
        match inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(error) => Self::of(error),
            None if CLOSED.contains(&error.kind()) => Self::Closed,
            None => Self::Other(error.to_string()),
        }
    }
}
