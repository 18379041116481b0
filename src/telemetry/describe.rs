//! Describes each metric, for `# HELP` of `/metrics`. Counters without labels begin at zero, so that a
//! dashboard can tell "never" from "missing".

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use trackops_domain::invariants::Invariant;

use super::names as n;
use trackops_cluster::names as c;

enum Kind {
    Counter,
    Gauge,
    Histogram,
}
use Kind::{Counter, Gauge, Histogram};

#[rustfmt::skip]
const ALL: [(Kind, &str, &str); 54] = [
    (Gauge, n::ORDERS_LIVE, "Live order actors."),
    (Gauge, n::ORDERS_LIVE_BYTES, "What live orders weigh, beside what an actor takes."),
    (Counter, n::ORDERS_REFUSED, "Requests refused for want of room, by reason."),
    (Counter, n::ORDER_COMMANDS, "Commands by command and outcome."),
    (Histogram, n::ORDER_COMMAND_DURATION, "Admission to answer, by command."),
    (Counter, n::ORDER_TRANSITIONS, "Committed transitions by from and to."),
    (Histogram, n::JOURNAL_BATCH_SIZE, "Rows of an append."),
    (Histogram, n::JOURNAL_COMMIT_DURATION, "One append, call to answer."),
    (Counter, n::ACTOR_RESTARTS, "Actors started again after a failure."),
    (Gauge, n::ACTORS_QUARANTINED, "Orders in quarantine."),
    (Gauge, n::MAILBOX_DEPTH, "Commands admitted and unanswered on this replica."),
    (Gauge, n::MAILBOX_BYTES, "What the commands weigh that are admitted and unanswered."),
    (Gauge, n::SHARDS_OWNED, "Owned shards."),
    (Histogram, n::SHARD_HELD, "How long a command waited for its shard's move."),
    (Histogram, c::SHARD_HANDOFF_DURATION, "A planned move of a shard, from holding it to its next owner's claim."),
    (Counter, c::SHARD_CLAIMS, "Shards claimed or taken from an offer."),
    (Counter, c::SHARD_MOVES, "Planned moves away from this replica, by outcome."),
    (Gauge, c::LINK_UP, "Whether the link to a peer is up."),
    (Counter, c::LINK_BYTES, "Bytes over links, by peer and direction."),
    (Counter, c::LINK_CALLS, "Calls to peers, by outcome."),
    (Counter, c::LINK_SERVED, "Calls of peers that were answered."),
    (Counter, c::LINK_REFUSED, "Incoming links that were refused, by reason."),
    (Gauge, c::LINK_CERTIFICATE_EXPIRES, "When the certificate for links expires, as Unix time."),
    (Counter, n::FENCED_APPENDS, "Appended rows refused because of a higher epoch."),
    (Counter, n::FORWARDED_COMMANDS, "Attempts at the owner of an order on another replica, by outcome."),
    (Gauge, n::OUTBOX_PENDING, "Rows in an outbox."),
    (Gauge, n::OUTBOX_OLDEST_AGE, "Age of the oldest row of an outbox."),
    (Gauge, n::OUTBOX_SET_ASIDE, "Rows that a relay couldn't read and has set aside."),
    (Counter, n::RELAY_PUBLISHED, "Messages acknowledged by the bus, by topic."),
    (Gauge, n::BUS_LAG, "Messages not handled yet, by group and topic."),
    (Counter, n::DEAD_LETTERS, "Parked messages, by topic and reason."),
    (Counter, n::MESSAGES, "Messages handled, by group, topic and outcome."),
    (Counter, n::CACHE_REQUESTS, "Cache reads and writes by outcome."),
    (Gauge, n::LIVE_SESSIONS, "Open sockets and streams."),
    (Histogram, n::LIVE_PUSH_DURATION, "Commit to frame written to the socket."),
    (Counter, n::LIVE_CONFLATED, "Updates folded into a snapshot for a slow listener."),
    (Histogram, n::SAGA_DURATION, "Placed to settled, by outcome."),
    (Gauge, n::SAGA_STUCK, "Orders that have waited for inventory for too long (saga_stuck_after_ms), or whose deadline has passed by more than a minute."),
    (Counter, n::INVARIANT_VIOLATIONS, "Broken invariants: defects."),
    (Counter, n::PRUNED_ROWS, "Old rows removed, by table."),
    (Counter, n::HTTP_REQUESTS, "HTTP requests answered, by class of status."),
    (Histogram, n::HTTP_REQUEST_DURATION, "A request's head to its answer's, by route, method and class of status."),
    (Gauge, n::HTTP_CONNECTIONS, "Open HTTP connections."),
    (Counter, n::AUTH_DENIED, "Requests that were denied, by reason."),
    (Counter, n::RATE_ADMITTED, "Requests that a limit has let through, by class."),
    (Counter, n::RATE_LIMITED, "Requests over a limit, by class."),
    (Counter, n::LIMIT_DRAWS, "Draws of tokens that replicas share, by outcome."),
    (Gauge, n::LIMIT_PURSES, "Callers and addresses whose limits are in memory."),
    (Counter, n::BOUND_REACHED, "Connections and subscriptions beyond a bound, by bound."),
    (Gauge, n::LIVE_SUBSCRIPTIONS, "Orders that sockets and streams follow."),
    (Counter, n::AUDIT_LOST, "Audit entries that could not be kept."),
    (Counter, n::ACCESS_TOKENS, "Access tokens by outcome: known, verified, or why they were refused."),
    (Counter, n::JWKS_FETCHES, "Fetches of an issuer's keys, by issuer and outcome."),
    (Gauge, n::JWKS_AGE, "Age of an issuer's keys."),
];

/// Describes every metric, and registers the invariants' counters, which every role has.
pub(super) fn all() {
    for (kind, name, help) in ALL {
        match kind {
            Counter => describe_counter!(name, help),
            Gauge => describe_gauge!(name, help),
            Histogram => describe_histogram!(name, help),
        }
    }
    for invariant in Invariant::ALL {
        // Registering a counter makes it visible.
        let _ = counter!(n::INVARIANT_VIOLATIONS, "invariant" => invariant.id());
    }
}

/// Registers the order service's counters without labels.
pub fn zeros_of_orders() {
    for name in [n::ACTOR_RESTARTS, n::FENCED_APPENDS, n::LIVE_CONFLATED] {
        let _ = counter!(name);
    }
    for name in [n::LIVE_SESSIONS, n::SAGA_STUCK] {
        gauge!(name).set(0.0);
    }
    for name in [n::LIVE_PUSH_DURATION, c::SHARD_HANDOFF_DURATION] {
        let _ = histogram!(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_described_once() {
        let of_cluster = include_str!("../../cluster/src/names.rs").lines();
        let named = include_str!("names.rs").lines().chain(of_cluster);
        let mut named: Vec<&str> = named
            .filter_map(|line| line.strip_prefix("pub const "))
            .filter_map(|line| line.split('"').nth(1))
            .collect();
        let mut described: Vec<&str> = ALL.iter().map(|(_, name, _)| *name).collect();
        named.sort_unstable();
        described.sort_unstable();
        assert_eq!(described, named);
        for (_, name, help) in ALL {
            assert!(help.ends_with('.'), "{name}");
        }
    }
}
