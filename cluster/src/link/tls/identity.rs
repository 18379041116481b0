//! From the texts of the files to what connections are made with. Refuses a certificate that other replicas
//! would refuse, so that this shows at once and not at the first link.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret as _;
use tokio_rustls::rustls::client::danger::ServerCertVerifier as _;
use tokio_rustls::rustls::client::{Resumption, WebPkiServerVerifier};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::NoServerSessionStorage;
use tokio_rustls::rustls::server::danger::ClientCertVerifier as _;
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, Error, RootCertStore, ServerConfig, version,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::client_verifier::NamedClientVerifier;
use super::error::TlsError;
use super::files::{Texts, TlsFiles};
use super::name::LINK_NAME;

/// What links speak over TLS.
const ALPN: &[u8] = b"h2";

/// A certificate in use.
pub(super) struct Identity {
    pub connector: TlsConnector,
    pub acceptor: TlsAcceptor,
    pub name: ServerName<'static>,
    /// When the certificate expires, in seconds of Unix time, if that can be told.
    pub expires: Option<u64>,
    /// Of the texts that it is from.
    pub digest: [u8; 32],
}

impl Identity {
    pub fn of(files: &TlsFiles, texts: &Texts) -> Result<Self, TlsError> {
        let chain = certificates(&files.cert, &texts.cert)?;
        let key = PrivateKeyDer::from_pem_slice(texts.key.expose_secret());
        let key = key.map_err(|_| TlsError::NoKey {
            path: files.key.clone(),
        })?;
        let roots = Arc::new(authorities(&files.ca, &texts.ca)?);
        let provider = Arc::new(ring::default_provider());
        let name = ServerName::try_from(LINK_NAME).map_err(setup)?;

        let servers =
            WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
                .build()
                .map_err(setup)?;
        let clients = NamedClientVerifier::new(roots, &provider, name.clone()).map_err(setup)?;
        let clients = Arc::new(clients);
        let refused = |error| TlsError::refused(files.cert.clone(), &error);
        let verify = |now| servers.verify_server_cert(&chain[0], &chain[1..], &name, &[], now);
        verify(UnixTime::now()).map_err(refused)?;
        let as_client = clients.verify_client_cert(&chain[0], &chain[1..], UnixTime::now());
        as_client.map_err(refused)?;
        // At the end of time the certificate has expired, and the refusal says when.
        let expires = match verify(UnixTime::since_unix_epoch(Duration::MAX)) {
            Err(Error::InvalidCertificate(CertificateError::ExpiredContext {
                not_after, ..
            })) => Some(not_after.as_secs()),
            _ => None,
        };

        let pair = |source| TlsError::Pair {
            cert: files.cert.clone(),
            key: files.key.clone(),
            source,
        };
        let mut client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&version::TLS13])
            .map_err(setup)?
            .with_webpki_verifier(servers)
            .with_client_auth_cert(chain.clone(), key.clone_key())
            .map_err(pair)?;
        client.alpn_protocols = vec![ALPN.to_vec()];
        // Every connection shows its certificate anew.
        client.resumption = Resumption::disabled();
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&version::TLS13])
            .map_err(setup)?
            .with_client_cert_verifier(clients)
            .with_single_cert(chain, key)
            .map_err(pair)?;
        server.alpn_protocols = vec![ALPN.to_vec()];
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        Ok(Self {
            connector: TlsConnector::from(Arc::new(client)),
            acceptor: TlsAcceptor::from(Arc::new(server)),
            name,
            expires,
            digest: texts.digest(),
        })
    }
}

fn certificates(path: &Path, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    // The error may show a line of the file.
    let found = found.unwrap_or_default();
    if found.is_empty() {
        return Err(TlsError::NoCertificate {
            path: path.to_owned(),
        });
    }
    Ok(found)
}

fn authorities(path: &Path, text: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, text)? {
        roots.add(certificate).map_err(|_| TlsError::Authority {
            path: path.to_owned(),
        })?;
    }
    Ok(roots)
}

fn setup(error: impl std::fmt::Display) -> TlsError {
    TlsError::Setup(error.to_string())
}
