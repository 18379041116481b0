//! The relay: outbox to bus, in order, removed after the acknowledgement.
