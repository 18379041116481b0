//! Authenticates the two ends of a link: each proves that it knows the shared secret, the dialler first.
//!
//! ```text
//! dialler  ── Hello (who, whom, versions, shards, nonce) ──▶  acceptor
//!          ◀─ Challenge (versions, nonce) ──────────────────
//!          ── Proof ────────────────────────────────────────▶
//!          ◀─ Welcome (the acceptor's proof), or Refused ───
//! ```
//!
//! The acceptor reveals nothing about itself, and makes no proof, before the dialler has proven the
//! secret.

use bytes::Bytes;
use tokio::sync::mpsc;
use tonic::codec::Streaming;

use crate::membership::{Incarnation, NodeId};

use super::error::{Refusal, Trouble};
use super::peer::Peer;
use super::secret::{End, Handshake, LinkSecret};
use super::settings::{LinkSettings, WireVersions};
use super::wire::{Body, Challenge, Frame, Hello, Proof, Refused};

const NONCE_BYTES: usize = 32;
const NODE_BYTES_MAX: usize = 256;

/// The dialler's half. Returns the version that both speak, once both have proven the secret.
pub(super) async fn dial(
    frames: &mut Streaming<Frame>,
    outgoing: &mpsc::Sender<Frame>,
    hello: Hello,
    secret: &LinkSecret,
) -> Result<u32, Trouble> {
    let challenge = match hear(frames).await? {
        Body::Challenge(challenge) => challenge,
        Body::Refused(refused) => return Err(refused.into()),
        _ => return Err(Refusal::Malformed.into()),
    };
    if challenge.nonce.len() != NONCE_BYTES {
        return Err(Refusal::Malformed.into());
    }
    let common = hello.versions().common(challenge.versions());
    let version = common.ok_or(Refusal::Version)?;
    let handshake = transcript(&hello, &challenge);
    let mac = Bytes::copy_from_slice(&secret.prove(End::Dialler, &handshake));
    say(outgoing, Body::Proof(Proof { mac })).await?;
    match hear(frames).await? {
        Body::Welcome(proof) if secret.is_proven(End::Acceptor, &handshake, &proof.mac) => {
            Ok(version)
        }
        Body::Welcome(_) => Err(Refusal::Secret.into()),
        Body::Refused(refused) => Err(refused.into()),
        _ => Err(Refusal::Malformed.into()),
    }
}

/// The first frame of a dialler.
pub(super) fn hello(me: &Peer, to: &Peer, settings: &LinkSettings) -> Hello {
    Hello {
        newest: settings.versions.newest,
        oldest: settings.versions.oldest,
        node: me.node.0.clone(),
        incarnation: me.incarnation.0,
        to_node: to.node.0.clone(),
        to_incarnation: to.incarnation.0,
        shards: u32::from(settings.shards.get()),
        nonce: nonce(),
    }
}

/// A dialler that has proven the secret and wants to reach this replica.
#[derive(Debug)]
pub(super) struct Accepted {
    pub from: (NodeId, Incarnation),
    /// The acceptor's proof, to be sent once the peer is registered.
    pub welcome: Body,
}

/// The acceptor's half, up to the welcome.
pub(super) async fn accept(
    frames: &mut Streaming<Frame>,
    outgoing: &mpsc::Sender<Frame>,
    me: &Peer,
    secret: &LinkSecret,
    settings: &LinkSettings,
) -> Result<Accepted, Trouble> {
    let Body::Hello(hello) = hear(frames).await? else {
        return Err(Refusal::Malformed.into());
    };
    if hello.nonce.len() != NONCE_BYTES || hello.node.len() > NODE_BYTES_MAX {
        return Err(Refusal::Malformed.into());
    }
    settings
        .versions
        .common(hello.versions())
        .ok_or(Refusal::Version)?;
    let challenge = Challenge {
        newest: settings.versions.newest,
        oldest: settings.versions.oldest,
        nonce: nonce(),
    };
    say(outgoing, Body::Challenge(challenge.clone())).await?;
    let Body::Proof(proof) = hear(frames).await? else {
        return Err(Refusal::Malformed.into());
    };
    let handshake = transcript(&hello, &challenge);
    if !secret.is_proven(End::Dialler, &handshake, &proof.mac) {
        return Err(Refusal::Secret.into());
    }
    check(&hello, me, settings)?;
    let mac = Bytes::copy_from_slice(&secret.prove(End::Acceptor, &handshake));
    Ok(Accepted {
        from: (NodeId(hello.node), Incarnation(hello.incarnation)),
        welcome: Body::Welcome(Proof { mac }),
    })
}

/// The checks whose refusals a peer may see only after it has proven the secret.
fn check(hello: &Hello, me: &Peer, settings: &LinkSettings) -> Result<(), Refusal> {
    if hello.to_node != me.node.0 {
        return Err(Refusal::Node);
    }
    if hello.to_incarnation != me.incarnation.0 {
        return Err(Refusal::Incarnation);
    }
    if hello.shards != u32::from(settings.shards.get()) {
        return Err(Refusal::ShardCount);
    }
    Ok(())
}

fn transcript<'a>(hello: &'a Hello, challenge: &'a Challenge) -> Handshake<'a> {
    Handshake {
        node: &hello.node,
        to_node: &hello.to_node,
        dialler_nonce: &hello.nonce,
        acceptor_nonce: &challenge.nonce,
        numbers: [
            hello.newest.into(),
            hello.oldest.into(),
            challenge.newest.into(),
            challenge.oldest.into(),
            hello.incarnation,
            hello.to_incarnation,
            hello.shards.into(),
        ],
    }
}

fn nonce() -> Bytes {
    Bytes::copy_from_slice(&rand::random::<[u8; NONCE_BYTES]>())
}

async fn hear(frames: &mut Streaming<Frame>) -> Result<Body, Trouble> {
    match frames.message().await {
        Ok(Some(frame)) => frame.body.ok_or(Refusal::Malformed.into()),
        Ok(None) => Err(Trouble::Closed),
        Err(status) => Err(status.into()),
    }
}

async fn say(outgoing: &mpsc::Sender<Frame>, body: Body) -> Result<(), Trouble> {
    outgoing
        .send(Frame::of(body))
        .await
        .map_err(|_| Trouble::Closed)
}

impl Hello {
    fn versions(&self) -> WireVersions {
        WireVersions {
            newest: self.newest,
            oldest: self.oldest,
        }
    }
}

impl Challenge {
    fn versions(&self) -> WireVersions {
        WireVersions {
            newest: self.newest,
            oldest: self.oldest,
        }
    }
}

impl From<Refused> for Trouble {
    fn from(refused: Refused) -> Self {
        Self::Refused(Refusal::from_code(refused.code))
    }
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<tonic::Status> for Trouble {
    fn from(status: tonic::Status) -> Self {
        Self::Broken(status.message().into())
    }
}
