//! The order aggregate: the sum of its events, with the saga's state. Leaves deciding to
//! [`crate::decide`], and applying events to [`crate::evolve`].

use std::sync::Arc;

use smallvec::SmallVec;

use crate::command::Command;
use crate::event::OrderEvent;
use crate::ids::{CommandId, CourierId, OrderId, Version};
use crate::placed::Placed;
use crate::saga::Saga;
use crate::status::Status;
use crate::time::Timestamp;

/// A live or finished order.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// Its id.
    pub id: OrderId,
    /// What was ordered.
    pub placed: Arc<Placed>,
    /// SHA-256 of the canonical request body, when placed with an idempotency key.
    pub body_hash: Option<[u8; 32]>,
    /// Every committed change, oldest first; its length is the version. Never empty.
    pub log: SmallVec<[LogEntry; 4]>,
    /// The state of the saga with inventory.
    pub saga: Saga,
    /// Keyed commands that succeeded without a change, newest last; see [`REMEMBERED_MAX`].
    pub remembered: SmallVec<[Remembered; 0]>,
}

/// A keyed command that succeeded without a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// Its id.
    pub command: CommandId,
    /// The version that it found.
    pub version: Version,
    /// A hash of what it asked for; `None` if that was not kept.
    pub asked: Option<uuid::Uuid>,
}

/// How many successful no-change commands an order remembers. A client retries within
/// seconds; sixteen different keyed repeats of a step that is already taken are a fault of the client.
pub const REMEMBERED_MAX: usize = 16;

/// How many of them may be commands without a key. Their ids are drawn so that a lost answer can be asked
/// for again within the second; they must not push out keyed commands that a client may still repeat.
const DRAWN_MAX: usize = 4;

/// One line of an order's history.
#[derive(Clone, Debug, PartialEq)]
pub struct LogEntry {
    /// The status that it led to.
    pub status: Status,
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: Arc<str>,
    /// By which command.
    pub command: CommandId,
    /// Why, for REJECTED and CANCELLED.
    pub reason: Option<Box<str>>,
    /// The courier that was named with it.
    pub courier: Option<CourierId>,
}

impl Order {
    /// The order as its first event made it; `None` if `event` is not a placement.
    pub fn from_placed(event: &OrderEvent, saga: Saga) -> Option<Self> {
        let crate::event::Change::Placed { content, body_hash } = &event.change else {
            return None;
        };
        Some(Self {
            id: event.order,
            placed: Arc::clone(content),
            body_hash: *body_hash,
            log: std::iter::once(LogEntry::of(event)).collect(),
            saga,
            remembered: SmallVec::new(),
        })
    }

    /// The current status.
    pub fn status(&self) -> Status {
        self.log
            .last()
            .map_or(Status::Pending, |entry| entry.status)
    }

    /// The number of committed changes.
    pub fn version(&self) -> Version {
        Version(u32::try_from(self.log.len()).unwrap_or(u32::MAX))
    }

    /// When it was placed.
    pub fn created_at(&self) -> Timestamp {
        self.log.first().map_or(Timestamp(0), |entry| entry.at)
    }

    /// When it last changed.
    pub fn updated_at(&self) -> Timestamp {
        self.log.last().map_or(Timestamp(0), |entry| entry.at)
    }

    /// When it reached its final status; no change follows that.
    pub fn final_at(&self) -> Option<Timestamp> {
        self.status().is_final().then(|| self.updated_at())
    }

    /// Why, once REJECTED or CANCELLED.
    pub fn reason(&self) -> Option<&str> {
        self.log.last().and_then(|entry| entry.reason.as_deref())
    }

    /// Who takes it to the customer: the courier that was named last.
    pub fn courier(&self) -> Option<&CourierId> {
        let mut newest_first = self.log.iter().rev();
        newest_first.find_map(|entry| entry.courier.as_ref())
    }

    /// The entry that led to `version`.
    pub fn entry(&self, version: Version) -> Option<&LogEntry> {
        self.log.get((version.0 as usize).checked_sub(1)?)
    }

    /// This order as it was at `version`; unchanged for a later one. The saga keeps its current state.
    #[must_use]
    pub fn as_of(&self, version: Version) -> Self {
        let mut past = self.clone();
        past.log.truncate((version.0 as usize).max(1));
        past
    }

    /// The version that the command `id` led to, or that it found if it changed nothing. `None` if the id
    /// is unknown.
    pub fn answered(&self, id: CommandId) -> Option<Version> {
        let by_event = self.log.iter().position(|entry| entry.command == id);
        by_event
            .and_then(|index| u32::try_from(index + 1).ok())
            .map(Version)
            .or_else(|| {
                self.remembered
                    .iter()
                    .find(|known| known.command == id)
                    .map(|known| known.version)
            })
    }

    /// Whether the known command `id` can have been `command`. Its body is not stored, so this compares
    /// the status that it led to, the reason of a cancellation and the courier. For a command that changed
    /// nothing it compares a hash of them.
    pub fn asked_the_same(&self, id: CommandId, command: &Command) -> bool {
        let Some((status, reason)) = command.asks_for() else {
            return true;
        };
        if let Some(entry) = self.log.iter().find(|entry| entry.command == id) {
            return entry.status == status
                && entry.reason.as_deref() == reason
                && entry.courier.as_ref() == command.courier();
        }
        let known = self.remembered.iter().find(|known| known.command == id);
        known.is_none_or(|known| match known.asked {
            Some(asked) => Remembered::mark(id, command) == Some(asked),
            None => self
                .entry(known.version)
                .is_none_or(|entry| entry.status == status),
        })
    }

    /// Remembers a command. If there are too many, the oldest one without a key is removed, or else the
    /// oldest.
    pub fn remember(&mut self, id: CommandId, command: &Command) {
        let is_drawn = |known: &Remembered| known.command.is_drawn();
        let drawn = self.remembered.iter().filter(|known| is_drawn(known));
        let is_full = self.remembered.len() >= REMEMBERED_MAX
            || (id.is_drawn() && drawn.count() >= DRAWN_MAX);
        if is_full {
            let oldest = self.remembered.iter().position(is_drawn);
            self.remembered.remove(oldest.unwrap_or(0));
        }
        self.remembered.push(Remembered {
            command: id,
            version: self.version(),
            asked: Remembered::mark(id, command),
        });
    }
}

impl Remembered {
    /// Hashes what was asked for, to store sixteen bytes in place of a reason of up to two thousand. Only
    /// cancellations have a reason, and they have no courier.
    fn mark(id: CommandId, command: &Command) -> Option<uuid::Uuid> {
        let (status, reason) = command.asks_for()?;
        let said = reason.or_else(|| command.courier().map(CourierId::as_str));
        let asked = format!("{status} {}", said.unwrap_or_default());
        Some(uuid::Uuid::new_v5(&id.0, asked.as_bytes()))
    }
}

impl LogEntry {
    pub(crate) fn of(event: &OrderEvent) -> Self {
        Self {
            status: event.change.status(),
            at: event.at,
            by: Arc::clone(&event.by),
            command: event.command,
            reason: event.change.reason().map(Box::from),
            courier: event.change.courier().cloned(),
        }
    }
}
