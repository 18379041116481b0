//! Certificates of links: TLS 1.3 in which both ends show one. Leaves the choice between certificates and
//! the shared secret to [`super::trust`].
//!
//! A certificate is taken if an authority of the replica's own file has signed it, it is valid now, and it
//! names [`LINK_NAME`]. Addresses aren't looked at: those of replicas change. The node's name is said in
//! the handshake that follows.

mod client_verifier;
mod error;
mod files;
mod identity;
mod name;
mod problem;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::TcpStream;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_rustls::rustls::ConnectionCommon;
use tokio_rustls::{client, server};

pub use self::error::TlsError;
pub use self::files::TlsFiles;
pub use self::name::LINK_NAME;
pub(super) use self::problem::Problem;

use self::identity::Identity;
use super::secret::LinkSecret;
use crate::names;
use crate::repeated::RepeatedLog;

/// What both ends draw a secret from that nobody else knows (RFC 8446, section 7.5).
const EXPORTER: &[u8] = b"EXPORTER-trackops-link";
const EXPORTED_BYTES: usize = 32;

/// This replica's certificate and the authorities that it trusts, as they are in the files now.
pub struct LinkTls {
    files: TlsFiles,
    identity: ArcSwap<Identity>,
    unusable: RepeatedLog,
}

impl fmt::Debug for LinkTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkTls")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

impl LinkTls {
    /// Reads the files. They must have a certificate that other replicas with the same authorities take.
    pub fn load(files: TlsFiles) -> Result<Arc<Self>, TlsError> {
        let identity = Identity::of(&files, &files.read()?)?;
        let loaded = Self {
            files,
            identity: ArcSwap::from_pointee(identity),
            unusable: RepeatedLog::new(),
        };
        loaded.show_expiry();
        Ok(Arc::new(loaded))
    }

    /// Looks at the files again and again. A new certificate is used for the next connections; those that
    /// are there go on. While the files are unusable, the last usable ones count.
    pub(super) async fn watch(&self, every: Duration) {
        let mut looks = tokio::time::interval(every);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let files = self.files.clone();
            let read = tokio::task::spawn_blocking(move || files.read());
            // The runtime is ending, if this fails.
            let Ok(texts) = read.await else { return };
            let changed = texts.and_then(|texts| {
                let is_new = texts.digest() != self.identity.load().digest;
                is_new
                    .then(|| Identity::of(&self.files, &texts))
                    .transpose()
            });
            self.take(changed);
        }
    }

    fn take(&self, changed: Result<Option<Identity>, TlsError>) {
        match changed {
            Ok(changed) => {
                let recovery = self.unusable.recovered(Instant::now());
                if let Some(identity) = changed {
                    self.identity.store(Arc::new(identity));
                    tracing::info!("links use the new certificate from now on");
                } else if recovery.is_some() {
                    tracing::info!("the files of the links' certificate are as before");
                }
                self.show_expiry();
            }
            Err(error) => {
                if let Some(repeats) = self.unusable.failed(Instant::now()) {
                    let (error, count) = (error.told(), repeats.count);
                    tracing::error!(
                        error,
                        count,
                        "links keep their certificate: the new one is unusable"
                    );
                }
            }
        }
    }

    /// When the certificate expires, in seconds of Unix time, if that can be told.
    pub fn expires(&self) -> Option<u64> {
        self.identity.load().expires
    }

    fn show_expiry(&self) {
        if let Some(expires) = self.expires() {
            #[expect(
                clippy::cast_precision_loss,
                reason = "seconds of thousands of years fit"
            )]
            metrics::gauge!(names::LINK_CERTIFICATE_EXPIRES).set(expires as f64);
        }
    }

    /// Encrypts a connection that this replica has made.
    pub(super) async fn connect(
        &self,
        socket: TcpStream,
    ) -> Result<(client::TlsStream<TcpStream>, LinkSecret), Problem> {
        let identity = self.identity.load_full();
        let connecting = identity.connector.connect(identity.name.clone(), socket);
        let stream = connecting.await?;
        let secret = exported(stream.get_ref().1)?;
        Ok((stream, secret))
    }

    /// Encrypts a connection that this replica has accepted. On success the peer has shown its
    /// certificate.
    pub(super) async fn accept(
        &self,
        socket: TcpStream,
    ) -> Result<(server::TlsStream<TcpStream>, LinkSecret), Problem> {
        let identity = self.identity.load_full();
        let stream = identity.acceptor.accept(socket).await?;
        let secret = exported(stream.get_ref().1)?;
        Ok((stream, secret))
    }
}

/// The secret of this one connection, which takes the place of the cluster's in the handshake.
fn exported<D>(connection: &ConnectionCommon<D>) -> Result<LinkSecret, Problem> {
    let bytes = connection.export_keying_material([0; EXPORTED_BYTES], EXPORTER, None)?;
    LinkSecret::new(bytes).map_err(|short| Problem::Other(short.to_string()))
}
