//! Opens the connections to a server: one way for requests and for the live socket, so that both trust the same.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use hyper::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tower_service::Service;

#[cfg(feature = "tls")]
use super::tls::Encryption;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Connects to the server that a URI names.
#[derive(Clone, Debug)]
pub struct Dialer {
    tcp: HttpConnector,
    #[cfg(feature = "tls")]
    encryption: Option<Encryption>,
}

impl Dialer {
    /// Gives up a connection that isn't made within `connect_timeout`.
    pub fn new(connect_timeout: Duration) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.set_connect_timeout(Some(connect_timeout));
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        Self {
            tcp,
            #[cfg(feature = "tls")]
            encryption: None,
        }
    }

    /// Encrypts every connection.
    #[cfg(feature = "tls")]
    pub fn encrypted(mut self, encryption: Encryption) -> Self {
        self.encryption = Some(encryption);
        self
    }

    /// A connection to `uri`'s host.
    pub fn dial(&self, uri: Uri) -> BoxFuture<'static, Result<Stream, BoxError>> {
        let connecting = self.tcp.clone().call(uri.clone());
        #[cfg(feature = "tls")]
        let encryption = self.encryption.clone();
        Box::pin(async move {
            let tcp = connecting.await?.into_inner();
            #[cfg(feature = "tls")]
            if let Some(encryption) = encryption {
                let host = uri.host().unwrap_or_default();
                return Ok(Stream(Box::new(encryption.encrypt(host, tcp).await?)));
            }
            Ok(Stream(Box::new(tcp)))
        })
    }
}

impl Service<Uri> for Dialer {
    type Response = TokioIo<Stream>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let dialing = self.dial(uri);
        Box::pin(async move { Ok(TokioIo::new(dialing.await?)) })
    }
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection.
pub struct Stream(Box<dyn Io>);

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
