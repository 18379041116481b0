//! The answers of one replica to another.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use trackops_cluster::Epoch;
use trackops_cluster::directory::Owner;
use trackops_domain::ids::Version;
use trackops_domain::order::Order;
use trackops_domain::time::Timestamp;

use super::envelope::{LinkFormError, close, open, read};
use super::error::ErrorV1;
use super::order::{OrderV1, PositionV1, bytes_of, raw};
use super::request::PeerV1;
use crate::model::order_answer::{ACTOR_STATES, ActorReport, Done, History, OrderAnswer, Read};
use crate::model::orders_error::OrdersError;
use trackops_cluster::link::Peer;

/// An answer to a [`super::Request`].
#[derive(Clone, Debug)]
pub enum Answer {
    /// The answer to a [`super::Request::Ask`].
    Answered(OrderAnswer),
    /// The whole order, to a [`super::Request::Watch`].
    Order(Arc<Order>),
    /// The request was refused or failed.
    Failed(OrdersError),
    /// Another replica owns the order; names the owner if it is known. Nothing was done.
    NotOwner(Option<Owner>),
    /// The request wasn't understood. Nothing was done.
    NotUnderstood(String),
}

#[derive(Serialize, Deserialize)]
struct DoneV1 {
    order: OrderV1,
    replayed: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    position: Option<PositionV1>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReadV1 {
    version: u32,
    view: Box<RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    position: Option<PositionV1>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    age_ms: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReportV1 {
    state: String,
    shard: u16,
    epoch: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<u32>,
    mailbox: u32,
    restarts: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_error_at: Option<i64>,
}

#[derive(Serialize, Deserialize)]
struct OwnerV1 {
    #[serde(flatten)]
    peer: PeerV1,
    epoch: i64,
}

#[derive(Serialize, Deserialize)]
struct NotOwnerV1 {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<OwnerV1>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct HistoryV1 {
    order: OrderV1,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    age_ms: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct LocatedV1 {
    replayed: bool,
}

#[derive(Serialize, Deserialize)]
struct ReleasedV1 {
    released: bool,
}

#[derive(Serialize, Deserialize)]
struct NotUnderstoodV1 {
    why: String,
}

impl Answer {
    /// Its text.
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Answered(answer) => encode_answered(answer),
            Self::Order(order) => close("order", OrderV1::of(order)),
            Self::Failed(error) => close("failed", ErrorV1::of(error)),
            Self::NotOwner(owner) => close(
                "notOwner",
                NotOwnerV1 {
                    owner: owner.as_ref().map(OwnerV1::of),
                },
            ),
            Self::NotUnderstood(why) => {
                close("notUnderstood", NotUnderstoodV1 { why: why.clone() })
            }
        }
    }

    /// Reads a text.
    pub fn decode(text: &[u8]) -> Result<Self, LinkFormError> {
        let (kind, body) = open(text)?;
        Ok(match kind.as_str() {
            "done" => {
                let done: DoneV1 = read("done", body)?;
                Self::Answered(OrderAnswer::Done(done.read()?))
            }
            "read" => Self::Answered(OrderAnswer::Read(read::<ReadV1>("read", body)?.read())),
            "order" => Self::Order(read::<OrderV1>("order", body)?.read()?),
            "history" => {
                let history: HistoryV1 = read("history", body)?;
                Self::Answered(OrderAnswer::History(history.read()?))
            }
            "located" => {
                let LocatedV1 { replayed } = read("located", body)?;
                Self::Answered(OrderAnswer::Located { replayed })
            }
            "report" => {
                let report: ReportV1 = read("report", body)?;
                Self::Answered(OrderAnswer::Report(report.read()))
            }
            "released" => {
                let released: ReleasedV1 = read("released", body)?;
                Self::Answered(OrderAnswer::Released {
                    was_quarantined: released.released,
                })
            }
            "failed" => Self::Failed(read::<ErrorV1>("failed", body)?.read()?),
            "notOwner" => {
                let answer: NotOwnerV1 = read("notOwner", body)?;
                Self::NotOwner(answer.owner.map(OwnerV1::read))
            }
            "notUnderstood" => {
                Self::NotUnderstood(read::<NotUnderstoodV1>("notUnderstood", body)?.why)
            }
            _ => return Err(LinkFormError::Kind(kind)),
        })
    }
}

fn encode_answered(answer: &OrderAnswer) -> Bytes {
    match answer {
        OrderAnswer::Done(done) => close("done", DoneV1::of(done)),
        OrderAnswer::Read(read) => close("read", ReadV1::of(read)),
        OrderAnswer::History(history) => close("history", HistoryV1::of(history)),
        OrderAnswer::Located { replayed } => {
            let replayed = *replayed;
            close("located", LocatedV1 { replayed })
        }
        OrderAnswer::Report(report) => close("report", ReportV1::of(report)),
        OrderAnswer::Released { was_quarantined } => {
            let released = *was_quarantined;
            close("released", ReleasedV1 { released })
        }
    }
}

impl DoneV1 {
    fn of(done: &Done) -> Self {
        Self {
            order: OrderV1::of(&done.order),
            replayed: done.replayed,
            position: done.position.map(PositionV1::of),
        }
    }

    fn read(self) -> Result<Done, LinkFormError> {
        Ok(Done {
            order: self.order.read()?,
            view: None,
            replayed: self.replayed,
            position: self.position.map(PositionV1::read),
        })
    }
}

impl HistoryV1 {
    fn of(history: &History) -> Self {
        Self {
            order: OrderV1::of(&history.order),
            age_ms: history.age.map(millis),
        }
    }

    fn read(self) -> Result<History, LinkFormError> {
        Ok(History {
            order: self.order.read()?,
            age: self.age_ms.map(Duration::from_millis),
        })
    }
}

impl ReadV1 {
    fn of(read: &Read) -> Self {
        Self {
            version: read.version.0,
            view: raw(read.view.clone()),
            position: read.position.map(PositionV1::of),
            age_ms: read.age.map(millis),
        }
    }

    fn read(self) -> Read {
        Read {
            version: Version(self.version),
            view: bytes_of(&self.view),
            position: self.position.map(PositionV1::read),
            age: self.age_ms.map(Duration::from_millis),
        }
    }
}

impl ReportV1 {
    fn of(report: &ActorReport) -> Self {
        let (last_error, last_error_at) = report.last_error.clone().unzip();
        Self {
            state: report.state.into(),
            shard: report.shard,
            epoch: report.epoch,
            version: report.version.map(|version| version.0),
            mailbox: report.mailbox,
            restarts: report.restarts,
            last_error,
            last_error_at: last_error_at.map(|at| at.0),
        }
    }

    fn read(self) -> ActorReport {
        let known = ACTOR_STATES.into_iter().find(|state| *state == self.state);
        ActorReport {
            state: known.unwrap_or("unknown"),
            shard: self.shard,
            epoch: self.epoch,
            version: self.version.map(Version),
            mailbox: self.mailbox,
            restarts: self.restarts,
            last_error: self.last_error.zip(self.last_error_at.map(Timestamp)),
        }
    }
}

impl OwnerV1 {
    fn of(owner: &Owner) -> Self {
        Self {
            peer: PeerV1::of(&Peer {
                node: owner.node.clone(),
                incarnation: owner.incarnation,
                address: owner.address.clone(),
            }),
            epoch: owner.epoch.0,
        }
    }

    fn read(self) -> Owner {
        let peer = self.peer.read();
        Owner {
            node: peer.node,
            incarnation: peer.incarnation,
            address: peer.address,
            epoch: Epoch(self.epoch),
        }
    }
}

fn millis(age: Duration) -> u64 {
    u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
}
