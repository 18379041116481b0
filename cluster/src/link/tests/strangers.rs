//! Tests of which diallers are refused, and what a stranger learns.

use std::time::Duration;

use bytes::Bytes;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tonic::codec::Streaming;

use super::support::{Node, SECRET, bytes, node, node_with, settings, soon};
use crate::link::grpc;
use crate::link::handshake;
use crate::link::secret::{End, Handshake};
use crate::link::wire::{Body, Call, Challenge, Frame, Hello, Proof};
use crate::link::{LinkError, LinkSettings, Links, Peer, Refusal, Trouble, WireVersions};
use crate::membership::{Incarnation, NodeId};
use crate::shard::ShardCount;

const OTHER: &str = "the secret of somebody else";

async fn refusal(a: &Node, to: &Peer) -> Refusal {
    match a.links.call(to, bytes("x"), soon()).await {
        Err(LinkError::NotSent(Trouble::Refused(refusal))) => refusal,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn another_secret_is_refused() {
    let a = node("a").await;
    let b = node_with("b", 1, "127.0.0.1:0", OTHER, settings()).await;
    assert_eq!(refusal(&a, &b.peer).await, Refusal::Secret);
    assert_eq!(refusal(&b, &a.peer).await, Refusal::Secret);
    assert_eq!(
        b.script.served.load(std::sync::atomic::Ordering::Relaxed),
        0
    );
}

#[tokio::test]
async fn another_life_node_or_shard_count_is_refused() {
    let (a, b) = (node("a").await, node("b").await);
    let other_life = Peer {
        incarnation: Incarnation(2),
        ..b.peer.clone()
    };
    assert_eq!(refusal(&a, &other_life).await, Refusal::Incarnation);
    let other_node = Peer {
        node: NodeId("c".into()),
        ..b.peer.clone()
    };
    assert_eq!(refusal(&a, &other_node).await, Refusal::Node);
    let other_count = LinkSettings::new(ShardCount::new(64).unwrap());
    let d = node_with("d", 1, "127.0.0.1:0", SECRET, other_count).await;
    assert_eq!(refusal(&a, &d.peer).await, Refusal::ShardCount);
}

#[tokio::test]
async fn an_older_life_of_the_dialler_is_refused_after_a_newer() {
    let b = node("b").await;
    let newer = node_with("a", 2, "127.0.0.1:0", SECRET, settings()).await;
    let older = node("a").await;
    older.links.call(&b.peer, bytes("x"), soon()).await.unwrap();
    newer.links.call(&b.peer, bytes("x"), soon()).await.unwrap();
    b.script.wait_for("disconnected a/1", 1).await;
    let refused = loop {
        // At first the older one only knows that its link has ended.
        match older.links.call(&b.peer, bytes("x"), soon()).await {
            Err(LinkError::NotSent(Trouble::Refused(refusal))) => break refusal,
            Err(_) => tokio::task::yield_now().await,
            Ok(_) => panic!("served after the newer life"),
        }
    };
    assert_eq!(refused, Refusal::Superseded);
    newer.links.call(&b.peer, bytes("x"), soon()).await.unwrap();
}

#[tokio::test]
async fn versions_meet_if_they_are_neighbours() {
    let of = |oldest, newest| LinkSettings {
        versions: WireVersions { newest, oldest },
        ..settings()
    };
    let old = node_with("old", 1, "127.0.0.1:0", SECRET, of(1, 1)).await;
    let new = node_with("new", 1, "127.0.0.1:0", SECRET, of(1, 2)).await;
    let newest = node_with("newest", 1, "127.0.0.1:0", SECRET, of(2, 3)).await;
    for (from, to) in [(&old, &new), (&new, &old), (&new, &newest), (&newest, &new)] {
        from.links.call(&to.peer, bytes("x"), soon()).await.unwrap();
    }
    assert_eq!(refusal(&old, &newest.peer).await, Refusal::Version);
    assert_eq!(refusal(&newest, &old.peer).await, Refusal::Version);
}

/// A raw stream to `to`, without the dialler's handshake.
pub(super) async fn raw(to: &str) -> (mpsc::Sender<Frame>, Streaming<Frame>) {
    let socket = TcpStream::connect(to).await.unwrap();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket))
            .await
            .unwrap();
    tokio::spawn(connection);
    let (out, frames) = mpsc::channel(16);
    let opened = grpc::open(sender, Frames(frames), 1 << 20).await.unwrap();
    (out, opened)
}

struct Frames(mpsc::Receiver<Frame>);

impl Stream for Frames {
    type Item = Frame;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Frame>> {
        self.0.poll_recv(cx)
    }
}

pub(super) fn stranger(to: &Peer) -> Hello {
    let me = Peer {
        node: NodeId("stranger".into()),
        incarnation: Incarnation(1),
        address: String::new(),
    };
    handshake::hello(&me, to, &settings())
}

pub(super) async fn challenged(
    out: &mpsc::Sender<Frame>,
    frames: &mut Streaming<Frame>,
    hello: &Hello,
) -> Challenge {
    out.send(Frame::of(Body::Hello(hello.clone())))
        .await
        .unwrap();
    match frames.message().await.unwrap().unwrap().body {
        Some(Body::Challenge(challenge)) => challenge,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_stranger_learns_versions_and_a_refusal_and_nothing_else() {
    let b = node_with("a-name-to-keep", 77, "127.0.0.1:0", SECRET, settings()).await;
    let (out, mut frames) = raw(&b.peer.address).await;
    let hello = stranger(&b.peer);
    let challenge = challenged(&out, &mut frames, &hello).await;
    let bare = Challenge {
        nonce: Bytes::new(),
        ..challenge.clone()
    };
    assert_eq!(bare.encode_to_vec(), [8, 1, 16, 1], "two versions");
    assert_eq!(challenge.nonce.len(), 32);
    let mac = Bytes::from_static(&[0; 32]);
    out.send(Frame::of(Body::Proof(Proof { mac })))
        .await
        .unwrap();
    let refused = frames.message().await.unwrap().unwrap();
    match refused.body {
        Some(Body::Refused(refused)) => assert_eq!(refused.code, Refusal::Secret.code()),
        other => panic!("{other:?}"),
    }
    assert!(frames.message().await.unwrap().is_none());
}

#[tokio::test]
async fn a_call_before_the_proof_and_a_replayed_proof_are_refused() {
    let b = node("b").await;
    let (out, mut frames) = raw(&b.peer.address).await;
    let call = Frame {
        id: 1,
        body: Some(Body::Call(Call::default())),
    };
    out.send(call.clone()).await.unwrap();
    let answer = frames.message().await.unwrap().unwrap().body;
    assert!(matches!(answer, Some(Body::Refused(_))), "{answer:?}");

    let hello = stranger(&b.peer);
    let (out, mut frames) = raw(&b.peer.address).await;
    let first = challenged(&out, &mut frames, &hello).await;
    let proof = proof(&hello, &first);
    out.send(Frame::of(Body::Proof(proof.clone())))
        .await
        .unwrap();
    let answer = frames.message().await.unwrap().unwrap().body;
    assert!(matches!(answer, Some(Body::Welcome(_))), "{answer:?}");

    let (out, mut frames) = raw(&b.peer.address).await;
    challenged(&out, &mut frames, &hello).await;
    out.send(Frame::of(Body::Proof(proof))).await.unwrap();
    out.send(call).await.unwrap();
    let answer = frames.message().await.unwrap().unwrap().body;
    assert!(matches!(answer, Some(Body::Refused(_))), "{answer:?}");
    assert_eq!(
        b.script.served.load(std::sync::atomic::Ordering::Relaxed),
        0
    );
}

pub(super) fn proof(hello: &Hello, challenge: &Challenge) -> Proof {
    let handshake = Handshake {
        node: &hello.node,
        to_node: &hello.to_node,
        dialler_nonce: &hello.nonce,
        acceptor_nonce: &challenge.nonce,
        numbers: [1, 1, 1, 1, hello.incarnation, hello.to_incarnation, 128],
    };
    let mac = super::support::secret(SECRET).prove(End::Dialler, &handshake);
    Proof {
        mac: Bytes::copy_from_slice(&mac),
    }
}

/// Answers every dialler as if it knew the secret.
async fn impostor(out: mpsc::Sender<Frame>, mut frames: Streaming<Frame>) {
    let challenge = Challenge {
        newest: 1,
        oldest: 1,
        nonce: Bytes::from_static(&[9; 32]),
    };
    frames.message().await.unwrap();
    let challenge = Frame::of(Body::Challenge(challenge));
    out.send(challenge).await.unwrap();
    let Some(Body::Proof(proof)) = frames.message().await.unwrap().unwrap().body else {
        panic!("no proof");
    };
    // The best it has: the dialler's own proof.
    out.send(Frame::of(Body::Welcome(proof))).await.unwrap();
    // A dialler that believes the proof would now send a call.
    assert!(!matches!(frames.message().await, Ok(Some(_))));
}

#[tokio::test]
async fn an_acceptor_without_the_secret_gets_no_call() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = Peer {
        node: NodeId("b".into()),
        incarnation: Incarnation(1),
        address: listener.local_addr().unwrap().to_string(),
    };
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let method = service_fn(|request| async {
                let served = grpc::serve(request, 1 << 20, |frames| {
                    let (out, answers) = mpsc::channel(4);
                    tokio::spawn(impostor(out, frames));
                    answers
                });
                Ok::<_, std::convert::Infallible>(served.await)
            });
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            drop(server.serve_connection(TokioIo::new(socket), method).await);
        }
    });
    let a = node("a").await;
    assert_eq!(refusal(&a, &to).await, Refusal::Secret);
}

/// What a newer version may add: a field in the hello, a kind of call, a kind of notice.
#[derive(Clone, PartialEq, prost::Message)]
struct NewerFrame {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(string, tag = "99")]
    addition: String,
}

#[tokio::test]
async fn additions_of_a_newer_version_are_skipped() {
    let b = node("b").await;
    let (out, mut frames) = raw(&b.peer.address).await;
    let hello = stranger(&b.peer);
    let challenge = challenged(&out, &mut frames, &hello).await;
    let mac = proof(&hello, &challenge);
    out.send(Frame::of(Body::Proof(mac))).await.unwrap();
    frames.message().await.unwrap();
    for id in [0, 5] {
        let newer = NewerFrame {
            id,
            addition: "new".into(),
        };
        let frame = Frame::decode(newer.encode_to_vec().as_slice()).unwrap();
        assert_eq!(frame, Frame { id, body: None });
        out.send(frame).await.unwrap();
    }
    let answer = frames.message().await.unwrap().unwrap();
    assert_eq!(
        answer,
        Frame::failure(5, crate::link::wire::FailureKind::Unknown)
    );
}

#[tokio::test]
async fn rubbish_and_silence_are_closed_and_harm_nobody() {
    let small = LinkSettings {
        strangers_max: 4,
        connect_limit: Duration::from_millis(300),
        ..settings()
    };
    let b = node_with("b", 1, "127.0.0.1:0", SECRET, small).await;
    for rubbish in [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        vec![0xff; 70_000],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(),
        Vec::new(),
    ] {
        let mut socket = TcpStream::connect(&b.peer.address).await.unwrap();
        // It may be closed while the rubbish is still being written.
        drop(socket.write_all(&rubbish).await);
        let mut answer = Vec::new();
        let closed = tokio::time::timeout(Duration::from_secs(3), socket.read_to_end(&mut answer));
        assert!(closed.await.is_ok(), "still open");
    }
    // More silent ones than are heard at a time: they are closed, and soon there is room again.
    let mut silent = Vec::new();
    for _ in 0..8 {
        silent.push(TcpStream::connect(&b.peer.address).await.unwrap());
    }
    let a = node("a").await;
    let up = async {
        while a.links.call(&b.peer, bytes("x"), soon()).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    assert!(
        tokio::time::timeout(Duration::from_secs(5), up)
            .await
            .is_ok()
    );
}
