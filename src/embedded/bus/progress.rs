//! A group's progress as seen from outside, and marks that are stored as a group's offsets.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::FutureExt as _;

use super::super::error::WriteError;
use super::assign::Slot;
use super::embedded_bus::EmbeddedBus;
use super::rows;
use crate::ports::bus::BusError;
use crate::ports::groups::{GroupProgress, Progress};

pub(super) async fn progress(
    bus: &EmbeddedBus,
    group: &str,
    topics: &[Arc<str>],
) -> Result<GroupProgress, BusError> {
    if bus.db.closing.is_cancelled() {
        return Err(BusError(WriteError::Closed.into()));
    }
    // The ends are read first: messages that the group reads between the two queries must not count as
    // unread.
    let partitions = topics.iter().map(|topic| (topic, bus.hub.topic(topic)));
    let partitions: Vec<_> = partitions.collect();
    let slots = partitions.iter().flat_map(|(_, of)| of).map(|p| p.slot);
    let slots: Vec<Slot> = slots.collect();
    let committed = rows::committed(&bus.db.reads, group, &slots)
        .await
        .map_err(|error| BusError(error.into()))?;
    let committed: HashMap<Slot, i64> = committed.into_iter().collect();
    let found = partitions.into_iter().map(|(topic, partitions)| {
        let progress = partitions.iter().map(|partition| Progress {
            committed: committed.get(&partition.slot).copied(),
            end: partition.next,
        });
        (Arc::clone(topic), progress.collect())
    });
    Ok(found.collect())
}

pub(super) async fn mark(
    bus: &EmbeddedBus,
    group: &str,
    next: &[(Arc<str>, i32, i64)],
) -> Result<(), BusError> {
    let slot = |topic: &str, number: i32| {
        let partitions = bus.hub.topic(topic).into_iter();
        let mut found = partitions.filter(|partition| partition.number == number);
        found.next().map(|partition| partition.slot)
    };
    let offsets: Vec<(Slot, i64)> = next
        .iter()
        .filter_map(|(topic, number, offset)| Some((slot(topic, *number)?, *offset)))
        .collect();
    let group: Arc<str> = group.into();
    let marked = bus
        .db
        .writer
        .write(move |conn| async move { rows::commit(conn, &group, &offsets).await }.boxed());
    marked.await.map_err(|error| BusError(error.into()))
}
