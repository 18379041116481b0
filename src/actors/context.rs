//! What the actors of a replica share: bounds, time, shards, writer, listeners. It knows no actor.

use std::sync::Arc;

use super::admission::Admission;
use super::ownership::Ownership;
use super::positions::Positions;
use super::settings::Settings;
use super::writer::Writer;
use crate::ports::clock::Clock;
use crate::ports::live::LiveHub;

/// What every actor of a replica shares.
pub struct Context {
    /// Bounds and timings.
    pub settings: Settings,
    /// Time and ids.
    pub clock: Arc<dyn Clock>,
    /// Shards, epochs, lease.
    pub ownership: Arc<Ownership>,
    /// Group commit.
    pub writer: Writer,
    /// Listeners.
    pub hub: Arc<dyn LiveHub>,
    /// Courier positions.
    pub positions: Positions,
    /// Bounds the messages in the mailboxes.
    pub admission: Arc<Admission>,
}
