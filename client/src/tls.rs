//! Encrypted connections (TLS 1.2 and 1.3): whom the client trusts, and the handshake.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::error::Error;

/// Makes TLS connections.
#[derive(Clone)]
pub struct Encryption {
    connector: TlsConnector,
    handshake_timeout: Duration,
}

impl fmt::Debug for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encryption").finish_non_exhaustive()
    }
}

impl Encryption {
    /// Trusts the authorities in `pem`, or those of the system if there is none.
    pub fn new(pem: Option<&[u8]>, handshake_timeout: Duration) -> Result<Self, Error> {
        let roots = match pem {
            Some(pem) => named(pem)?,
            None => system()?,
        };
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::Usage(format!("no TLS: {error}")))?;
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        // Requests and the live socket both speak HTTP/1.1.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            connector: TlsConnector::from(Arc::new(config)),
            handshake_timeout,
        })
    }

    /// Encrypts a connection to `host`, whose certificate must name it.
    pub async fn encrypt(&self, host: &str, tcp: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let handshake = self.connector.connect(name, tcp);
        match timeout(self.handshake_timeout, handshake).await {
            Ok(encrypted) => encrypted,
            Err(_) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the TLS handshake takes too long",
            )),
        }
    }
}

fn named(pem: &[u8]) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate
            .map_err(|error| Error::Usage(format!("the authorities are no PEM: {error}")))?;
        roots
            .add(certificate)
            .map_err(|error| Error::Usage(format!("an authority can't be read: {error}")))?;
    }
    if roots.is_empty() {
        let none = "there is no certificate among the authorities";
        return Err(Error::Usage(none.into()));
    }
    Ok(roots)
}

fn system() -> Result<RootCertStore, Error> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // What can't be read of the system's many certificates is left out, as other programs do.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let errors = found.errors.iter().map(ToString::to_string);
        let errors = errors.collect::<Vec<_>>().join("; ");
        let none = format!("the system names no authority that TLS can trust: {errors}");
        return Err(Error::Usage(none.trim_end_matches([':', ' ']).into()));
    }
    Ok(roots)
}
