//! Tests of which certificates make a link, and what the others are told.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
use rcgen::date_time_ymd;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::version::TLS12;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tracing::subscriber::DefaultGuard;

use super::certificates::{Authority, Folder, Signed, client, roots, server, write};
use super::support::{Node, SECRET, bytes, node, settings, soon, trusting};
use crate::link::{
    LINK_NAME, LinkError, LinkSettings, LinkTls, LinkTrust, Links as _, Peer, Trouble,
};
use crate::membership::{Incarnation, NodeId};

const ANY: &str = "127.0.0.1:0";

pub(super) async fn of(name: &str, trust: LinkTrust) -> Node {
    trusting(name, 1, ANY, trust, settings()).await
}

/// The log of what runs on this thread.
#[derive(Clone, Default)]
pub(super) struct Logged(Arc<Mutex<Vec<u8>>>);

impl Logged {
    pub fn start() -> (Self, DefaultGuard) {
        let logged = Self::default();
        let writer = logged.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        (logged, tracing::subscriber::set_default(subscriber))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock()).into_owned()
    }
}

impl Write for Logged {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Why `a` has no link to `to`.
pub(super) async fn trouble(a: &Node, to: &Peer) -> Trouble {
    match a.links.call(to, bytes("x"), soon()).await {
        Err(LinkError::NotSent(trouble)) => trouble,
        other => panic!("{other:?}"),
    }
}

fn tls_trouble(trouble: &Trouble) -> String {
    match trouble {
        Trouble::Tls(text) => text.to_string(),
        other => panic!("{other:?}"),
    }
}

/// A listener, and the replica that a dialler believes to be there.
async fn believed() -> (TcpListener, Peer) {
    let listener = TcpListener::bind(ANY).await.unwrap();
    let peer = Peer {
        node: NodeId("b".into()),
        incarnation: Incarnation(1),
        address: listener.local_addr().unwrap().to_string(),
    };
    (listener, peer)
}

#[tokio::test]
async fn replicas_with_certificates_link_and_the_link_is_tls() {
    let authority = Authority::new("ours");
    let (a, b) = (
        of("a", authority.trust()).await,
        of("b", authority.trust()).await,
    );
    let said = a.links.call(&b.peer, bytes("who"), soon()).await.unwrap();
    assert_eq!(said, "a/1");
    let said = b.links.call(&a.peer, bytes("who"), soon()).await.unwrap();
    assert_eq!(said, "b/1");
    let opened = authority.trust().connect(&b.peer).await.unwrap();
    assert!(opened.is_tls);
}

#[tokio::test]
async fn a_dialler_without_a_replicas_certificate_is_refused() {
    let authority = Authority::new("ours");
    let cases: [(Option<Signed>, &str); 6] = [
        (None, "shows no certificate"),
        (
            Some(Authority::new("theirs").replica()),
            "no authority of link_tls_ca",
        ),
        // Of the same name, but not the same.
        (
            Some(Authority::new("ours").replica()),
            "no authority of link_tls_ca",
        ),
        (
            Some(authority.sign("shop.example.com", |_| {})),
            "lacks the DNS name trackops-link",
        ),
        (Some(authority.expired()), "has expired"),
        (Some(authority.only_for(ServerAuth)), "extended key usage"),
    ];
    for (signed, why) in cases {
        let (logged, _guard) = Logged::start();
        let b = of("b", authority.trust()).await;
        let connector = TlsConnector::from(Arc::new(client(&authority, signed.as_ref())));
        let name = ServerName::try_from(LINK_NAME).unwrap();
        let socket = TcpStream::connect(&b.peer.address).await.unwrap();
        // By TLS 1.3 a client has finished before the server has seen its certificate.
        let mut stream = connector.connect(name, socket).await.unwrap();
        let mut answer = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(3), stream.read_to_end(&mut answer));
        ended.await.expect("it is closed").unwrap_err();
        assert!(answer.is_empty(), "{why}: {answer:?}");
        let text = logged.text();
        let line = text.lines().find(|line| line.contains("refused by TLS"));
        let line = line.unwrap_or_else(|| panic!("{why}: {text}"));
        assert!(
            line.contains(why) && line.contains("from=\"127.0.0.1:"),
            "{line}"
        );
        assert_eq!(b.script.served.load(Ordering::Relaxed), 0);
    }
}

#[tokio::test]
async fn a_dialler_refuses_what_is_no_replicas_certificate() {
    let authority = Authority::new("ours");
    let cases = [
        (
            Authority::new("ours").replica(),
            "no authority of link_tls_ca",
        ),
        (
            authority.sign("shop.example.com", |_| {}),
            "lacks the DNS name trackops-link",
        ),
        (authority.expired(), "has expired"),
    ];
    for (signed, why) in cases {
        let (listener, peer) = believed().await;
        let acceptor = TlsAcceptor::from(Arc::new(server(&signed)));
        let serving = tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                if let Ok(mut stream) = acceptor.accept(socket).await {
                    let mut said = Vec::new();
                    drop(stream.read_to_end(&mut said).await);
                    assert!(said.is_empty(), "the dialler spoke to it: {said:?}");
                }
            }
        });
        // Also one that would do without TLS.
        let either = LinkTrust::TlsOrSecret(authority.tls(), super::support::secret(SECRET));
        for trust in [authority.trust(), either] {
            let (logged, _guard) = Logged::start();
            let a = of("a", trust).await;
            let text = tls_trouble(&trouble(&a, &peer).await);
            assert!(text.contains(why), "{text}");
            assert!(logged.text().contains(why), "{}", logged.text());
            a.links.stop(Duration::ZERO).await;
        }
        assert!(!serving.is_finished());
        serving.abort();
    }
}

#[tokio::test]
async fn an_older_tls_is_refused() {
    let authority = Authority::new("ours");
    let b = of("b", authority.trust()).await;
    let newer = client(&authority, Some(&authority.replica()));
    let provider = Arc::clone(newer.crypto_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS12])
        .unwrap()
        .with_root_certificates(roots(&authority))
        .with_client_cert_resolver(newer.client_auth_cert_resolver);
    let connector = TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from(LINK_NAME).unwrap();
    let socket = TcpStream::connect(&b.peer.address).await.unwrap();
    connector.connect(name, socket).await.unwrap_err();
}

#[tokio::test]
async fn rubbish_and_half_a_hello_are_closed_and_harm_nobody() {
    let authority = Authority::new("ours");
    let small = LinkSettings {
        strangers_max: 4,
        connect_limit: Duration::from_millis(300),
        ..settings()
    };
    let (logged, _guard) = Logged::start();
    let b = trusting("b", 1, ANY, authority.trust(), small).await;
    let hung_up = TcpStream::connect(&b.peer.address).await.unwrap();
    drop(hung_up);
    let mut hung_up = TcpStream::connect(&b.peer.address).await.unwrap();
    hung_up.write_all(b"\x16\x03\x01").await.unwrap();
    drop(hung_up);
    for rubbish in [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        vec![0x16; 70_000],
        b"\x16\x03\x01\x02\x00\x01\x00".to_vec(),
        Vec::new(),
    ] {
        let mut socket = TcpStream::connect(&b.peer.address).await.unwrap();
        // It may be closed while the rubbish is still being written.
        drop(socket.write_all(&rubbish).await);
        let mut answer = Vec::new();
        let closed = tokio::time::timeout(Duration::from_secs(3), socket.read_to_end(&mut answer));
        assert!(closed.await.is_ok(), "still open after {rubbish:?}");
    }
    // More slow ones than are heard at a time: they are closed, and soon there is room again.
    let mut slow = Vec::new();
    for _ in 0..8 {
        let mut socket = TcpStream::connect(&b.peer.address).await.unwrap();
        socket.write_all(b"\x16\x03\x01").await.unwrap();
        slow.push(socket);
    }
    let a = of("a", authority.trust()).await;
    let up = async {
        while a.links.call(&b.peer, bytes("x"), soon()).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    let up = tokio::time::timeout(Duration::from_secs(5), up).await;
    assert!(up.is_ok(), "no room for a replica");
    // The rubbish is told; who says nothing and hangs up, or is too slow, is no refusal.
    let text = logged.text();
    assert_eq!(text.matches("refused by TLS").count(), 1, "{text}");
    assert!(
        text.contains("doesn't speak it") && text.contains("count=1"),
        "{text}"
    );
}

#[tokio::test]
async fn the_secret_alone_is_refused_and_never_tried_where_there_is_only_tls() {
    let authority = Authority::new("ours");
    let (logged, _guard) = Logged::start();
    let (encrypted, plain) = (of("a", authority.trust()).await, node("b").await);
    trouble(&plain, &encrypted.peer).await;
    assert!(logged.text().contains("the other end doesn't speak it"));
    assert!(!logged.text().contains(SECRET));

    let (listener, peer) = believed().await;
    let (said, mut hello) = mpsc::channel(16);
    tokio::spawn(async move {
        // As a replica without TLS answers, or someone on the way.
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut first = [0];
            socket.read_exact(&mut first).await.unwrap();
            drop(socket.write_all(b"\0\0\0\x04\0\0\0\0\0").await);
            said.send(first[0]).await.ok();
            // Until the dialler has read the answer.
            drop(socket.read_to_end(&mut Vec::new()).await);
        }
    });
    let text = tls_trouble(&trouble(&encrypted, &peer).await);
    assert!(text.contains("doesn't speak it"), "{text}");
    for _ in 0..3 {
        let first = tokio::time::timeout(Duration::from_secs(5), hello.recv());
        assert_eq!(first.await.expect("it tries again"), Some(0x16));
    }
}

#[tokio::test]
async fn while_both_are_configured_a_replica_of_the_secret_still_links() {
    let authority = Authority::new("ours");
    let secret = super::support::secret(SECRET);
    let either = || LinkTrust::TlsOrSecret(authority.tls(), secret.clone());
    let (old, new, other) = (
        node("old").await,
        of("new", either()).await,
        of("other", either()).await,
    );
    let last = of("last", authority.trust()).await;
    let linked = [
        (&old, &new),
        (&new, &old),
        (&new, &other),
        (&new, &last),
        (&last, &new),
    ];
    for (from, to) in linked {
        let said = from.links.call(&to.peer, bytes("who"), soon()).await;
        assert_eq!(said.unwrap(), format!("{}/1", from.peer.node.0));
    }
    for (to, is_tls) in [(&old, false), (&new, true), (&last, true)] {
        let opened = either().connect(&to.peer).await.unwrap();
        assert_eq!(opened.is_tls, is_tls, "{}", to.peer.node.0);
    }
    trouble(&old, &last.peer).await;
    tls_trouble(&trouble(&last, &old.peer).await);
}

#[test]
fn it_is_known_when_the_certificate_expires() {
    let authority = Authority::new("ours");
    let folder = Folder::new();
    let signed = authority.sign(LINK_NAME, |params| {
        params.not_after = date_time_ymd(2100, 1, 1);
    });
    let files = folder.files(&signed, &authority.pem());
    assert_eq!(LinkTls::load(files).unwrap().expires(), Some(4_102_444_800));
}

#[test]
fn files_that_serve_nobody_are_named_and_never_shown() {
    let authority = Authority::new("ours");
    let good = authority.replica();
    let other = authority.replica();
    let sealed = good.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let body = good.key.lines().nth(1).unwrap().to_owned();
    let short = good.key.replace(&body, &body[..7]);
    let theirs = Authority::new("theirs");
    let mixed = [good.cert.as_str(), "-----BEGIN CERTIFICATE-----\n", &body].concat();
    let cases = [
        (&good.cert, &other.key, authority.pem(), "don't go together"),
        (
            &good.cert,
            &sealed,
            authority.pem(),
            "key.pem needs a private key",
        ),
        (&good.cert, &short, authority.pem(), "key.pem"),
        (
            &good.key,
            &good.key,
            authority.pem(),
            "cert.pem needs certificates",
        ),
        (
            &mixed,
            &good.key,
            authority.pem(),
            "cert.pem needs certificates",
        ),
        (
            &good.cert,
            &good.key,
            String::new(),
            "ca.pem needs certificates",
        ),
        (
            &good.cert,
            &good.key,
            theirs.pem(),
            "no authority of link_tls_ca",
        ),
        (
            &authority.expired().cert,
            &good.key,
            authority.pem(),
            "has expired",
        ),
        (
            &authority.sign("other", |_| {}).cert,
            &good.key,
            authority.pem(),
            "cert.pem doesn't serve: the certificate lacks the DNS name trackops-link",
        ),
        (
            &authority.only_for(ServerAuth).cert,
            &good.key,
            authority.pem(),
            "extended key usage",
        ),
        (
            &authority.only_for(ClientAuth).cert,
            &good.key,
            authority.pem(),
            "extended key usage",
        ),
    ];
    for (cert, key, ca, why) in cases {
        let folder = Folder::new();
        let files = folder.files(&good, &ca);
        write(&files.cert, cert);
        write(&files.key, key);
        let error = LinkTls::load(files).unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(text.contains(why), "{text}");
        assert!(!text.contains(&body[..7]), "{text}");
    }
    let folder = Folder::new();
    let files = folder.files(&good, &authority.pem());
    write(&files.ca, &"x".repeat(1024 * 1024 + 1));
    let error = LinkTls::load(files.clone()).unwrap_err().to_string();
    assert!(
        error.contains("ca.pem has more than 1048576 bytes"),
        "{error}"
    );
    std::fs::remove_file(&files.key).unwrap();
    let error = LinkTls::load(files).unwrap_err().to_string();
    assert!(
        error.contains("can't read") && error.contains("key.pem"),
        "{error}"
    );
}
