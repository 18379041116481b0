//! Documents of issuers over HTTPS: one short connection for each, as there is one in minutes.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::http::{Request, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use url::{Host, Url};

use super::source::{Document, DocumentSource, FetchError};

/// The largest document: key sets with certificates have some 20 KiB.
const BODY_BYTES_MAX: usize = 256 * 1024;

type Failure = Box<dyn Error + Send + Sync>;

/// Fetches documents.
pub struct HttpsSource {
    tls: TlsConnector,
}

impl HttpsSource {
    /// Trusts the system's authorities, or those that `SSL_CERT_FILE` names.
    pub fn new() -> Result<Self, Failure> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        // What can't be read of the system's many certificates is left out, as other programs do.
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            tracing::warn!("the system names no authority that TLS can trust");
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?;
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let tls = TlsConnector::from(Arc::new(config));
        Ok(Self { tls })
    }

    async fn ask(&self, url: &Url) -> Result<axum::http::Response<Incoming>, Failure> {
        let host = url.host().ok_or("no host")?;
        let port = url.port_or_known_default().ok_or("no port")?;
        let (tcp, name) = match &host {
            Host::Domain(name) => (
                TcpStream::connect((*name, port)).await?,
                ServerName::try_from((*name).to_owned())?,
            ),
            Host::Ipv4(ip) => {
                let ip = std::net::IpAddr::from(*ip);
                (TcpStream::connect((ip, port)).await?, ip.into())
            }
            Host::Ipv6(ip) => {
                let ip = std::net::IpAddr::from(*ip);
                (TcpStream::connect((ip, port)).await?, ip.into())
            }
        };
        if url.scheme() == "https" {
            exchange(self.tls.connect(name, tcp).await?, url).await
        } else {
            exchange(tcp, url).await
        }
    }
}

#[async_trait]
impl DocumentSource for HttpsSource {
    async fn get(&self, url: &Url) -> Result<Document, FetchError> {
        let unreachable = |source: Failure| FetchError::Unreachable {
            url: url.clone(),
            source,
        };
        let response = self.ask(url).await.map_err(unreachable)?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status {
                url: url.clone(),
                status: response.status().as_u16(),
            });
        }
        let cache = response.headers().get(header::CACHE_CONTROL);
        let max_age = cache.and_then(|value| max_age(value.to_str().ok()?));
        let body = Limited::new(response.into_body(), BODY_BYTES_MAX);
        let body = body.collect().await.map_err(unreachable)?.to_bytes();
        Ok(Document { body, max_age })
    }
}

/// Sends one `GET`, and returns its answer's head.
async fn exchange<S>(stream: S, url: &Url) -> Result<axum::http::Response<Incoming>, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the answer's body, or when nobody waits for it any more.
    tokio::spawn(async move {
        let _ = connection.await;
    });
    let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
    let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
    let request = Request::get(target)
        .header(header::HOST, host)
        .header(header::ACCEPT, "application/json")
        .header(header::USER_AGENT, "trackops")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())?;
    Ok(sender.send_request(request).await?)
}

fn max_age(cache_control: &str) -> Option<Duration> {
    let mut directives = cache_control.split(',').map(str::trim);
    let seconds = directives.find_map(|one| one.strip_prefix("max-age="))?;
    seconds.parse().ok().map(Duration::from_secs)
}
