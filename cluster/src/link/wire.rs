//! The frames of the stream, as protobuf messages of the gRPC method [`METHOD`].
//!
//! Tags are never reused. A peer skips unknown fields. A frame of an unknown kind arrives without a body;
//! if it has an id, it is answered by [`FailureKind::Unknown`].

use bytes::Bytes;

/// The one method: a stream of [`Frame`] in each direction. The dialling replica calls, and the other one
/// answers.
pub(super) const METHOD: &str = "/trackops.link.v1.Link/Connect";

/// Everything on the stream.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Frame {
    /// Ties an answer to its call; zero on a frame without an answer.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    #[prost(oneof = "Body", tags = "2, 3, 4, 5, 6, 10, 11, 12, 13, 14, 15")]
    pub body: Option<Body>,
}

/// What a frame is.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Body {
    #[prost(message, tag = "2")]
    Hello(Hello),
    #[prost(message, tag = "3")]
    Challenge(Challenge),
    #[prost(message, tag = "4")]
    Proof(Proof),
    #[prost(message, tag = "5")]
    Welcome(Proof),
    #[prost(message, tag = "6")]
    Refused(Refused),
    #[prost(message, tag = "10")]
    Call(Call),
    #[prost(bytes = "bytes", tag = "11")]
    Answer(Bytes),
    #[prost(message, tag = "12")]
    Failure(Failure),
    #[prost(bytes = "bytes", tag = "13")]
    Message(Bytes),
    #[prost(message, tag = "14")]
    Relay(Relay),
    /// The acceptor shuts down: the dialler sends nothing more and waits for its answers.
    #[prost(message, tag = "15")]
    Leaving(Leaving),
}

/// The dialler's first words.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Hello {
    #[prost(uint32, tag = "1")]
    pub newest: u32,
    #[prost(uint32, tag = "2")]
    pub oldest: u32,
    #[prost(string, tag = "3")]
    pub node: String,
    #[prost(int64, tag = "4")]
    pub incarnation: i64,
    /// The node that the dialler wants to reach.
    #[prost(string, tag = "5")]
    pub to_node: String,
    #[prost(int64, tag = "6")]
    pub to_incarnation: i64,
    #[prost(uint32, tag = "7")]
    pub shards: u32,
    #[prost(bytes = "bytes", tag = "8")]
    pub nonce: Bytes,
}

/// The acceptor's answer to a stranger. Reveals nothing but versions.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Challenge {
    #[prost(uint32, tag = "1")]
    pub newest: u32,
    #[prost(uint32, tag = "2")]
    pub oldest: u32,
    #[prost(bytes = "bytes", tag = "3")]
    pub nonce: Bytes,
}

/// The proof that one end knows the secret: first the dialler's, then (as a welcome) the acceptor's.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Proof {
    #[prost(bytes = "bytes", tag = "1")]
    pub mac: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Refused {
    #[prost(uint32, tag = "1")]
    pub code: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Call {
    /// What is left of the deadline, in microseconds: clocks needn't agree.
    #[prost(uint64, tag = "1")]
    pub left_us: u64,
    #[prost(bytes = "bytes", tag = "2")]
    pub payload: Bytes,
    /// The caller, if it is not the dialler.
    #[prost(message, optional, tag = "3")]
    pub origin: Option<Origin>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Origin {
    #[prost(string, tag = "1")]
    pub node: String,
    #[prost(int64, tag = "2")]
    pub incarnation: i64,
}

/// A call to be passed on. It goes on as a [`Call`], which is never passed on again.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Relay {
    #[prost(uint64, tag = "1")]
    pub left_us: u64,
    #[prost(bytes = "bytes", tag = "2")]
    pub payload: Bytes,
    #[prost(string, tag = "3")]
    pub node: String,
    #[prost(int64, tag = "4")]
    pub incarnation: i64,
    #[prost(string, tag = "5")]
    pub address: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Failure {
    #[prost(enumeration = "FailureKind", tag = "1")]
    pub kind: i32,
}

/// Why there is no answer. A kind that a version doesn't know counts as `Failed`, the safest reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(super) enum FailureKind {
    /// The service failed; it may have done the work.
    Failed = 0,
    TimedOut = 1,
    /// The frame's kind isn't known here; nothing was done.
    Unknown = 2,
    /// The answer is over the bound on one message.
    TooLarge = 3,
    /// The relaying replica couldn't reach the target; nothing was done.
    NotRelayed = 4,
    /// The relaying replica lost the link to the target after it had passed the call on.
    RelayLost = 5,
    /// The relaying replica's link to the target is full; nothing was done.
    RelayFull = 6,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Leaving {}

impl Frame {
    /// A frame that has no answer.
    pub fn of(body: Body) -> Self {
        Self {
            id: 0,
            body: Some(body),
        }
    }

    /// The answer to the call `id`.
    pub fn answer(id: u64, payload: Bytes) -> Self {
        Self {
            id,
            body: Some(Body::Answer(payload)),
        }
    }

    /// The failure of the call `id`, in place of an answer.
    pub fn failure(id: u64, kind: FailureKind) -> Self {
        Self {
            id,
            body: Some(Body::Failure(Failure { kind: kind.into() })),
        }
    }
}
