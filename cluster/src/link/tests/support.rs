//! Nodes with a service that does what its requests say, and records what it sees.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use crate::link::{LinkSecret, LinkSettings, LinkTrust, Peer, Service, TonicLinks};
use crate::membership::{Incarnation, NodeId};
use crate::shard::ShardCount;

/// Does what the first word of a request says; anything else it echoes.
pub struct Script {
    pub log: Mutex<Vec<String>>,
    pub logged: Notify,
    pub served: AtomicUsize,
    /// Waited for by `hold` calls and by one-way `hold` messages.
    pub gate: Semaphore,
    pub left: Mutex<Option<Duration>>,
    /// How long `disconnected` takes.
    pub parting: Mutex<Duration>,
}

impl Script {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            log: Mutex::default(),
            logged: Notify::new(),
            served: AtomicUsize::new(0),
            gate: Semaphore::new(0),
            left: Mutex::default(),
            parting: Mutex::default(),
        })
    }

    fn note(&self, text: String) {
        self.log.lock().push(text);
        self.logged.notify_waiters();
    }

    async fn hold(&self) {
        let mut dropped = Dropped(Some(self));
        if let Ok(permit) = self.gate.acquire().await {
            permit.forget();
        }
        dropped.0 = None;
    }

    /// Waits until the log has `count` entries that begin with `start`, and gives these.
    pub async fn wait_for(&self, start: &str, count: usize) -> Vec<String> {
        let found = async {
            loop {
                let logged = self.logged.notified();
                let found = self.logged(start);
                if found.len() >= count {
                    return found;
                }
                logged.await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), found)
            .await
            .unwrap_or_else(|_| panic!("{count} of {start} expected: {:?}", self.log.lock()))
    }

    pub fn logged(&self, start: &str) -> Vec<String> {
        let log = self.log.lock();
        log.iter()
            .filter(|entry| entry.starts_with(start))
            .cloned()
            .collect()
    }
}

/// Notes that a call was cut short.
struct Dropped<'a>(Option<&'a Script>);

impl Drop for Dropped<'_> {
    fn drop(&mut self) {
        if let Some(script) = self.0 {
            script.note("dropped".into());
        }
    }
}

#[async_trait]
impl Service for Script {
    async fn call(&self, from: &(NodeId, Incarnation), request: Bytes, deadline: Instant) -> Bytes {
        self.served.fetch_add(1, Ordering::Relaxed);
        match request.as_ref() {
            b"who" => return Bytes::from(format!("{}/{}", from.0.0, from.1.0)),
            b"hold" => {
                self.note("holding".into());
                self.hold().await;
            }
            b"panic" => panic!("asked to"),
            b"left" => {
                *self.left.lock() = Some(deadline.saturating_duration_since(Instant::now()));
            }
            b"large" => return Bytes::from(vec![7; 5 * 1024 * 1024]),
            _ => {}
        }
        request
    }

    async fn receive(&self, _: &(NodeId, Incarnation), message: Bytes) {
        match message.as_ref() {
            b"hold" => self.hold().await,
            b"panic" => panic!("asked to"),
            _ => {}
        }
        self.note(format!("message {}", String::from_utf8_lossy(&message)));
    }

    fn disconnected(&self, from: &(NodeId, Incarnation)) {
        let parting = *self.parting.lock();
        std::thread::sleep(parting);
        self.note(format!("disconnected {}/{}", from.0.0, from.1.0));
    }
}

pub struct Node {
    pub peer: Peer,
    pub links: Arc<TonicLinks>,
    pub script: Arc<Script>,
}

pub const SECRET: &str = "the secret of the tests";

pub fn settings() -> LinkSettings {
    LinkSettings::new(ShardCount::DEFAULT)
}

pub fn secret(text: &str) -> LinkSecret {
    LinkSecret::new(text).unwrap_or_else(|error| panic!("{error}"))
}

pub async fn node(name: &str) -> Node {
    node_with(name, 1, "127.0.0.1:0", SECRET, settings()).await
}

pub async fn node_with(
    name: &str,
    incarnation: i64,
    listen: &str,
    secret_text: &str,
    settings: LinkSettings,
) -> Node {
    let trust = LinkTrust::Secret(secret(secret_text));
    trusting(name, incarnation, listen, trust, settings).await
}

pub async fn trusting(
    name: &str,
    incarnation: i64,
    listen: &str,
    trust: LinkTrust,
    settings: LinkSettings,
) -> Node {
    let listener = TcpListener::bind(listen).await;
    let listener = listener.unwrap_or_else(|error| panic!("bind {listen}: {error}"));
    let address = listener.local_addr().map(|address| address.to_string());
    let peer = Peer {
        node: NodeId(name.into()),
        incarnation: Incarnation(incarnation),
        address: address.unwrap_or_default(),
    };
    let links = TonicLinks::start(peer.clone(), listener, trust, settings);
    let script = Script::new();
    links.serve(Arc::clone(&script) as Arc<dyn Service>);
    Node {
        peer,
        links,
        script,
    }
}

/// Far enough not to matter.
pub fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

pub fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}
