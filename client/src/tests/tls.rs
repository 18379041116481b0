//! Encrypted connections, with authorities and certificates made here.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::{SinkExt as _, StreamExt as _};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use super::server::{ID, Server, ok, view};
use crate::live::{LiveEvent, LiveMessage};
use crate::{Client, Error, RetryPolicy};

/// An authority, and a server's certificate that it signed.
struct Certificates {
    authority: String,
    acceptor: TlsAcceptor,
}

/// For a server that is called `name`.
fn certificates(name: &str) -> Certificates {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // Two of one name would be the same authority with another key.
    let own_name = Uuid::new_v4().to_string();
    params.distinguished_name.push(DnType::CommonName, own_name);
    let key = KeyPair::generate().expect("a key");
    let authority = CertifiedIssuer::self_signed(params, key).expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    let certificate = params.signed_by(&key, &authority).expect("signed");
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .expect("a certificate");
    Certificates {
        authority: authority.pem(),
        acceptor: TlsAcceptor::from(Arc::new(config)),
    }
}

async fn bind() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    (listener, address)
}

/// Accepts those who trust it.
struct Encrypted {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl axum::serve::Listener for Encrypted {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, client) = self.listener.accept().await.expect("a connection");
            // A client that trusts nobody here ends the handshake.
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, client);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Serves `server`'s script behind TLS; the port.
async fn encrypted(server: &Server, acceptor: TlsAcceptor) -> u16 {
    let (listener, address) = bind().await;
    let listener = Encrypted { listener, acceptor };
    let router = server.clone().router();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address.port()
}

fn trusting(url: &str, authority: &str) -> Client {
    let builder = Client::builder(url).retry(RetryPolicy::none());
    builder.trust_only(authority).build().expect("a client")
}

#[tokio::test]
async fn a_trusted_server_is_asked() {
    let ours = certificates("localhost");
    let server = Server::start([ok(&view("PENDING", 1)), ok(&view("PENDING", 1))]).await;
    let port = encrypted(&server, ours.acceptor).await;
    let client = trusting(&format!("https://localhost:{port}"), &ours.authority);
    for _ in 0..2 {
        let shown = client.order(Uuid::nil()).await.expect("shown");
        assert_eq!(shown.value.version, 1);
    }
    assert_eq!(server.sent().len(), 2);
}

#[tokio::test]
async fn a_stranger_and_another_name_are_refused() {
    let (ours, theirs) = (certificates("localhost"), certificates("localhost"));
    let server = Server::start([]).await;
    let port = encrypted(&server, theirs.acceptor).await;
    for (host, authority, words) in [
        ("localhost", &ours.authority, "UnknownIssuer"),
        ("127.0.0.1", &theirs.authority, "not valid for name"),
    ] {
        let url = format!("https://{host}:{port}");
        let client = trusting(&url, authority);
        let asked = client.order(Uuid::nil()).await.expect_err("no trust");
        let followed = client.live().order(Uuid::nil(), None).connect().await;
        for error in [asked, followed.expect_err("no trust")] {
            let Error::NoAnswer {
                was_sent: false,
                cause,
                ..
            } = &error
            else {
                panic!("{error:?}");
            };
            assert!(cause.contains(words), "{cause}");
        }
    }
    // The system's authorities have signed neither.
    let url = format!("https://localhost:{port}");
    let builder = Client::builder(&url).retry(RetryPolicy::none());
    match builder.build() {
        Ok(client) => drop(client.order(Uuid::nil()).await.expect_err("no trust")),
        // A system without any.
        Err(error) => assert!(matches!(error, Error::Usage(_)), "{error:?}"),
    }
    assert!(server.sent().is_empty());
}

#[tokio::test]
async fn live_updates_are_encrypted_too() {
    let ours = certificates("localhost");
    let (listener, address) = bind().await;
    let acceptor = ours.acceptor;
    let serving = tokio::spawn(async move {
        let mut listener = Encrypted { listener, acceptor };
        let (stream, _) = axum::serve::Listener::accept(&mut listener).await;
        let mut socket = accept_async(stream).await.expect("an upgrade");
        socket.next().await.expect("a message").expect("read");
        let update = json!({"type": "update", "orderId": ID, "version": 1,
            "previousStatus": null, "status": "PENDING", "at": "2026-01-31T12:00:00.000Z",
            "by": "client"});
        let update = Message::text(update.to_string());
        socket.send(update).await.expect("sent");
        socket
    });
    let client = trusting(
        &format!("https://localhost:{}", address.port()),
        &ours.authority,
    );
    let live = client.live().order(ID.parse().expect("an id"), Some(0));
    let mut live = live.connect().await.expect("connected");
    let event = live.next().await.expect("an event").expect("no end");
    let LiveEvent::Message {
        message: LiveMessage::Update(update),
        ..
    } = event
    else {
        panic!("{event:?}");
    };
    assert_eq!(update.version, 1);
    drop(serving.await);
}

#[tokio::test]
async fn authorities_that_are_none_are_named() {
    for pem in [
        "",
        "hello",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        let refused = Client::builder("https://h").trust_only(pem).build();
        let refused = refused.expect_err("no authority");
        assert!(matches!(refused, Error::Usage(_)), "{refused:?}");
    }
}
