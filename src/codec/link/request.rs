//! The requests of one replica to another.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use trackops_cluster::link::Peer;
use trackops_cluster::membership::{Incarnation, NodeId};
use trackops_domain::access::Caller;
use trackops_domain::command::{Command, HeldUp};
use trackops_domain::ids::{CommandId, CourierId, OrderId, Version};
use trackops_domain::time::Timestamp;

use super::caller::CallerV1;
use super::envelope::{LinkFormError, close, open, read};
use super::order::{PositionV1, status};
use crate::codec::content::ContentV1;
use crate::codec::stored;
use crate::model::order_request::{
    CommandRequest, LocateRequest, LocationKey, OrderRequest, PlaceKey, PlaceRequest,
};

/// A request to the owner of an order.
#[derive(Clone, Debug)]
pub enum Request {
    /// A caller's request for this order; a new order is placed under this id.
    Ask(OrderId, OrderRequest),
    /// The whole order; if there is a subscriber, also every later change.
    Watch(OrderId, Option<Subscriber>),
}

/// The replica that is to be told of an order's changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscriber {
    /// Where to send it.
    pub peer: Peer,
    /// Rises with every subscription of that replica; those with lower numbers have ended.
    pub number: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PlaceV1 {
    order: uuid::Uuid,
    content: ContentV1,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<KeyV1>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    caller: Option<CallerV1>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    traceparent: Option<Arc<str>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeyV1 {
    key: Box<str>,
    body_hash: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExecuteV1 {
    order: uuid::Uuid,
    id: uuid::Uuid,
    keyed: bool,
    /// For earlier versions, which don't read `caller`.
    by: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    caller: Option<CallerV1>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    if_match: Option<Vec<u32>>,
    command: CommandV1,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    traceparent: Option<Arc<str>>,
}

#[derive(Serialize, Deserialize)]
#[serde(
    tag = "name",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
enum CommandV1 {
    Advance {
        status: String,
        /// Left out if there is none, so that old forms stay as they are. An older replica ignores it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        courier_id: Option<String>,
    },
    Cancel {
        reason: Box<str>,
    },
    StockReserved,
    StockRefused {
        reason: Box<str>,
    },
    StockReleased,
    DeadlineDue {
        deadline: i64,
        request_unsent: bool,
        /// Left out if false, so that an older replica can read the request.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        behind: bool,
    },
}

#[derive(Serialize, Deserialize)]
struct OneV1 {
    order: uuid::Uuid,
}

#[derive(Serialize, Deserialize)]
struct OneForV1 {
    order: uuid::Uuid,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    caller: Option<CallerV1>,
}

#[derive(Serialize, Deserialize)]
struct LocateV1 {
    order: uuid::Uuid,
    position: PositionV1,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<LocationKeyV1>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    caller: Option<CallerV1>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LocationKeyV1 {
    id: uuid::Uuid,
    body_hash: String,
}

#[derive(Serialize, Deserialize)]
struct WatchV1 {
    order: uuid::Uuid,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subscriber: Option<SubscriberV1>,
}

#[derive(Serialize, Deserialize)]
struct SubscriberV1 {
    peer: PeerV1,
    number: u64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct PeerV1 {
    node: String,
    incarnation: i64,
    address: String,
}

impl Request {
    /// Its text.
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Ask(order, request) => encode_ask(*order, request),
            Self::Watch(order, subscriber) => close(
                "watch",
                WatchV1 {
                    order: order.0,
                    subscriber: subscriber.as_ref().map(|subscriber| SubscriberV1 {
                        peer: PeerV1::of(&subscriber.peer),
                        number: subscriber.number,
                    }),
                },
            ),
        }
    }

    /// Reads a text.
    pub fn decode(text: &[u8]) -> Result<Self, LinkFormError> {
        let (kind, body) = open(text)?;
        let one = |what, ask: fn(OrderId) -> OrderRequest| {
            let order = read::<OneV1>(what, body).map(|one| OrderId(one.order));
            order.map(|order| Self::Ask(order, ask(order)))
        };
        let one_for = |what, ask: fn(OrderId, Caller) -> OrderRequest| {
            let one: OneForV1 = read(what, body)?;
            let caller = CallerV1::read_or(one.caller, "client")?;
            let order = OrderId(one.order);
            Ok::<_, LinkFormError>(Self::Ask(order, ask(order, caller)))
        };
        Ok(match kind.as_str() {
            "place" => {
                let place: PlaceV1 = read("place", body)?;
                Self::Ask(OrderId(place.order), OrderRequest::Place(place.read()?))
            }
            "execute" => {
                let request = read::<ExecuteV1>("execute", body)?.read()?;
                Self::Ask(request.order, OrderRequest::Execute(request))
            }
            "read" => one_for("read", OrderRequest::Read)?,
            "history" => one_for("history", OrderRequest::History)?,
            "locate" => {
                let request = read::<LocateV1>("locate", body)?.read()?;
                Self::Ask(request.order, OrderRequest::Locate(request))
            }
            "inspect" => one("inspect", OrderRequest::Inspect)?,
            "release" => one("release", OrderRequest::Release)?,
            "watch" => {
                let watch: WatchV1 = read("watch", body)?;
                let subscriber = watch.subscriber.map(|subscriber| Subscriber {
                    peer: subscriber.peer.read(),
                    number: subscriber.number,
                });
                Self::Watch(OrderId(watch.order), subscriber)
            }
            _ => return Err(LinkFormError::Kind(kind)),
        })
    }
}

fn encode_ask(order: OrderId, request: &OrderRequest) -> Bytes {
    let one = OneV1 { order: order.0 };
    let one_for = |caller: &Caller| OneForV1 {
        order: order.0,
        caller: CallerV1::of(caller),
    };
    match request {
        OrderRequest::Place(request) => close("place", PlaceV1::of(order, request)),
        OrderRequest::Execute(request) => close("execute", ExecuteV1::of(request)),
        OrderRequest::Read(_, caller) => close("read", one_for(caller)),
        OrderRequest::History(_, caller) => close("history", one_for(caller)),
        OrderRequest::Locate(request) => close("locate", LocateV1::of(request)),
        OrderRequest::Inspect(_) => close("inspect", one),
        OrderRequest::Release(_) => close("release", one),
    }
}

impl LocateV1 {
    fn of(request: &LocateRequest) -> Self {
        Self {
            order: request.order.0,
            position: PositionV1::of(request.position),
            key: request.key.as_ref().map(LocationKeyV1::of),
            caller: CallerV1::of(&request.caller),
        }
    }

    fn read(self) -> Result<LocateRequest, LinkFormError> {
        Ok(LocateRequest {
            order: OrderId(self.order),
            position: self.position.read(),
            key: self.key.map(LocationKeyV1::read).transpose()?,
            caller: CallerV1::read_or(self.caller, "client")?,
        })
    }
}

impl PlaceV1 {
    fn of(order: OrderId, request: &PlaceRequest) -> Self {
        Self {
            order: order.0,
            content: ContentV1::of(&request.content),
            key: request.key.map(|key| KeyV1 {
                // An earlier version wants the key here, and goes by the order's id.
                key: key.order.to_string().into(),
                body_hash: stored::hex(&key.body),
            }),
            caller: CallerV1::of(&request.caller),
            traceparent: request.traceparent.clone(),
        }
    }

    fn read(self) -> Result<PlaceRequest, LinkFormError> {
        let content = self.content.accepted();
        let content = content.map_err(|_| LinkFormError::Impossible("order content"))?;
        let order = OrderId(self.order);
        let key = self.key.map(|key| {
            let body = stored::unhex(&key.body_hash);
            body.map(|body| PlaceKey { order, body })
                .map_err(|_| LinkFormError::Impossible("body hash"))
        });
        Ok(PlaceRequest {
            content: Arc::new(content),
            key: key.transpose()?,
            caller: CallerV1::read_or(self.caller, "client")?,
            traceparent: self.traceparent,
        })
    }
}

impl LocationKeyV1 {
    fn of(key: &LocationKey) -> Self {
        Self {
            id: key.id.0,
            body_hash: stored::hex(&key.body),
        }
    }

    fn read(self) -> Result<LocationKey, LinkFormError> {
        let body = stored::unhex(&self.body_hash);
        Ok(LocationKey {
            id: CommandId(self.id),
            body: body.map_err(|_| LinkFormError::Impossible("body hash"))?,
        })
    }
}

impl ExecuteV1 {
    fn of(request: &CommandRequest) -> Self {
        let versions = |versions: &Vec<Version>| versions.iter().map(|version| version.0).collect();
        Self {
            order: request.order.0,
            id: request.id.0,
            keyed: request.keyed,
            by: Arc::clone(request.caller.by()),
            caller: CallerV1::of(&request.caller),
            if_match: request.if_match.as_ref().map(versions),
            command: CommandV1::of(&request.command),
            traceparent: request.traceparent.clone(),
        }
    }

    fn read(self) -> Result<CommandRequest, LinkFormError> {
        let versions = |versions: Vec<u32>| versions.into_iter().map(Version).collect();
        Ok(CommandRequest {
            order: OrderId(self.order),
            id: CommandId(self.id),
            keyed: self.keyed,
            caller: CallerV1::read_or(self.caller, self.by)?,
            if_match: self.if_match.map(versions),
            command: self.command.read()?,
            traceparent: self.traceparent,
        })
    }
}

impl CommandV1 {
    fn of(command: &Command) -> Self {
        match command {
            Command::Advance { to, courier } => Self::Advance {
                status: to.as_str().into(),
                courier_id: courier.as_ref().map(|courier| courier.as_str().into()),
            },
            Command::Cancel { reason } => Self::Cancel {
                reason: reason.clone(),
            },
            Command::StockReserved => Self::StockReserved,
            Command::StockRefused { reason } => Self::StockRefused {
                reason: reason.clone(),
            },
            Command::StockReleased => Self::StockReleased,
            Command::DeadlineDue { deadline, held_up } => Self::DeadlineDue {
                deadline: deadline.0,
                request_unsent: *held_up == HeldUp::Unsent,
                behind: *held_up == HeldUp::Behind,
            },
        }
    }

    fn read(self) -> Result<Command, LinkFormError> {
        Ok(match self {
            Self::Advance {
                status: name,
                courier_id,
            } => Command::Advance {
                to: status(&name)?,
                courier: courier_id.as_deref().map(courier).transpose()?,
            },
            Self::Cancel { reason } => Command::Cancel { reason },
            Self::StockReserved => Command::StockReserved,
            Self::StockRefused { reason } => Command::StockRefused { reason },
            Self::StockReleased => Command::StockReleased,
            Self::DeadlineDue {
                deadline,
                request_unsent,
                behind,
            } => Command::DeadlineDue {
                deadline: Timestamp(deadline),
                held_up: match (request_unsent, behind) {
                    (true, _) => HeldUp::Unsent,
                    (false, true) => HeldUp::Behind,
                    (false, false) => HeldUp::Not,
                },
            },
        })
    }
}

fn courier(name: &str) -> Result<CourierId, LinkFormError> {
    CourierId::parse(name).ok_or(LinkFormError::Impossible("courier"))
}

impl PeerV1 {
    pub(super) fn of(peer: &Peer) -> Self {
        Self {
            node: peer.node.0.clone(),
            incarnation: peer.incarnation.0,
            address: peer.address.clone(),
        }
    }

    pub(super) fn read(self) -> Peer {
        Peer {
            node: NodeId(self.node),
            incarnation: Incarnation(self.incarnation),
            address: self.address,
        }
    }
}
