//! The peers that have linked to this replica: one live connection for each node, and never an older
//! incarnation after a newer one. Leaves serving the connections to [`super::inbound`].

use std::collections::BTreeMap;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::membership::{Incarnation, NodeId};

use super::error::Refusal;

/// Past this number, nodes without a live connection are forgotten. Epochs fence their old incarnations
/// anyway; refusing them here only saves work.
const SEEN_MAX: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Registry(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    nodes: BTreeMap<String, Seen>,
    entered: u64,
}

#[derive(Debug)]
struct Seen {
    newest: Incarnation,
    live: Option<Registration>,
}

/// The registration of an accepted connection.
#[derive(Clone, Debug)]
pub(super) struct Registration {
    number: u64,
    /// Cancelled to end the connection.
    pub replaced: CancellationToken,
    /// Cancelled once the service has been told that the connection is over.
    pub done: CancellationToken,
}

impl Registry {
    /// Registers a connection of `from`. An earlier connection of the same node is told to end and
    /// returned, so that the caller can wait for its end.
    pub fn enter(
        &self,
        from: &(NodeId, Incarnation),
    ) -> Result<(Registration, Option<Registration>), Refusal> {
        let mut known = self.0.lock();
        known.entered += 1;
        let place = Registration {
            number: known.entered,
            replaced: CancellationToken::new(),
            done: CancellationToken::new(),
        };
        if known.nodes.len() >= SEEN_MAX {
            known.nodes.retain(|_, seen| seen.live.is_some());
        }
        let seen = known.nodes.entry(from.0.0.clone()).or_insert(Seen {
            newest: from.1,
            live: None,
        });
        if seen.newest > from.1 {
            return Err(Refusal::Superseded);
        }
        seen.newest = from.1;
        let before = seen.live.replace(place.clone());
        drop(known);
        if let Some(before) = &before {
            before.replaced.cancel();
        }
        Ok((place, before))
    }

    /// Ends the registration `place`, and removes it unless a newer connection has replaced it.
    pub fn leave(&self, from: &(NodeId, Incarnation), place: &Registration) {
        place.done.cancel();
        if let Some(seen) = self.0.lock().nodes.get_mut(&from.0.0)
            && seen
                .live
                .as_ref()
                .is_some_and(|live| live.number == place.number)
        {
            seen.live = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(incarnation: i64) -> (NodeId, Incarnation) {
        (NodeId("a".into()), Incarnation(incarnation))
    }

    #[test]
    fn a_newer_connection_replaces_and_an_older_life_is_refused() {
        let registry = Registry::default();
        let Ok((first, None)) = registry.enter(&life(2)) else {
            panic!("the first is welcome");
        };
        let Ok((second, Some(before))) = registry.enter(&life(2)) else {
            panic!("the same life may come again");
        };
        assert!(first.replaced.is_cancelled());
        assert_eq!(before.number, first.number);
        registry.leave(&life(2), &first);
        assert!(first.done.is_cancelled());
        assert_eq!(registry.enter(&life(1)).err(), Some(Refusal::Superseded));
        assert!(
            !second.replaced.is_cancelled(),
            "the first has left its own place only"
        );
        registry.leave(&life(2), &second);
        assert_eq!(registry.enter(&life(1)).err(), Some(Refusal::Superseded));
        assert!(
            registry
                .enter(&life(3))
                .is_ok_and(|(_, before)| before.is_none())
        );
    }
}
