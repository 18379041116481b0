//! By what the two ends of a link know each other: certificates, the shared secret, or during a change from
//! the secret to certificates either. Opens the byte stream of a connection accordingly, and leaves the
//! handshake on it to [`super::handshake`].

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::error::Trouble;
use super::peer::Peer;
use super::secret::LinkSecret;
use super::tls::{LinkTls, Problem};

/// The first byte of a TLS connection: the record type of a handshake (RFC 8446, section 5.1). A link
/// without TLS begins with the `P` of HTTP/2.
const TLS_FIRST_BYTE: u8 = 0x16;

/// See the module.
#[derive(Clone, Debug)]
pub enum LinkTrust {
    /// Both prove the shared secret. The link is not encrypted.
    Secret(LinkSecret),
    /// Both show a certificate. Nothing else is taken or tried.
    Tls(Arc<LinkTls>),
    /// Certificates with every replica that has them, the secret with those that don't speak TLS yet.
    /// While this is configured, someone who can change packets on the way can make a link do without TLS.
    TlsOrSecret(Arc<LinkTls>, LinkSecret),
}

/// A connection's bytes.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A connection that is ready for the handshake.
pub(super) struct Opened {
    pub stream: Box<dyn Duplex>,
    /// What both ends prove to know: with TLS it is drawn from the connection, whose ends have shown their
    /// certificates.
    pub secret: LinkSecret,
    pub is_tls: bool,
}

impl Opened {
    fn plain(socket: TcpStream, secret: &LinkSecret) -> Self {
        Self {
            stream: Box::new(socket),
            secret: secret.clone(),
            is_tls: false,
        }
    }

    fn tls(stream: impl Duplex + 'static, secret: LinkSecret) -> Self {
        Self {
            stream: Box::new(stream),
            secret,
            is_tls: true,
        }
    }
}

impl LinkTrust {
    /// The certificates, if there are any.
    pub(super) fn tls(&self) -> Option<&Arc<LinkTls>> {
        match self {
            Self::Secret(_) => None,
            Self::Tls(tls) | Self::TlsOrSecret(tls, _) => Some(tls),
        }
    }

    /// Connects to a peer. Does without TLS only if a secret is configured and the peer has answered in
    /// something that isn't TLS; a peer that is refused, or closes the connection, isn't tried without.
    pub(super) async fn connect(&self, to: &Peer) -> Result<Opened, Trouble> {
        let socket = dial(&to.address).await?;
        let (tls, secret) = match self {
            Self::Secret(secret) => return Ok(Opened::plain(socket, secret)),
            Self::Tls(tls) => (tls, None),
            Self::TlsOrSecret(tls, secret) => (tls, Some(secret)),
        };
        match (tls.connect(socket).await, secret) {
            (Ok((stream, own)), _) => Ok(Opened::tls(stream, own)),
            (Err(Problem::NotSpoken), Some(secret)) => {
                Ok(Opened::plain(dial(&to.address).await?, secret))
            }
            (Err(problem), _) => Err(problem.into()),
        }
    }

    /// Opens an accepted connection; `None` if the other end has closed it meanwhile, as probes do, and
    /// replicas that have heard of a newer incarnation.
    pub(super) async fn accept(&self, socket: TcpStream) -> Result<Option<Opened>, Problem> {
        let (tls, secret) = match self {
            Self::Secret(secret) => return Ok(Some(Opened::plain(socket, secret))),
            Self::Tls(tls) => (tls, None),
            Self::TlsOrSecret(tls, secret) => (tls, Some(secret)),
        };
        let mut first = [0];
        if socket.peek(&mut first).await.unwrap_or(0) == 0 {
            return Ok(None);
        }
        if let Some(secret) = secret
            && first != [TLS_FIRST_BYTE]
        {
            return Ok(Some(Opened::plain(socket, secret)));
        }
        match tls.accept(socket).await {
            Ok((stream, own)) => Ok(Some(Opened::tls(stream, own))),
            Err(Problem::Closed) => Ok(None),
            Err(problem) => Err(problem),
        }
    }
}

async fn dial(address: &str) -> Result<TcpStream, Trouble> {
    let failed = |error| Trouble::Connect(Arc::new(error));
    let socket = TcpStream::connect(address).await.map_err(failed)?;
    socket.set_nodelay(true).map_err(failed)?;
    Ok(socket)
}

impl From<Problem> for Trouble {
    fn from(problem: Problem) -> Self {
        Self::Tls(problem.to_string().into())
    }
}

/// Where a connection comes from, for the log.
pub(super) fn origin(socket: &TcpStream) -> String {
    let address = socket.peer_addr();
    address.map_or_else(
        |_| "unknown".into(),
        |address: SocketAddr| address.to_string(),
    )
}
