//! The names of the metrics: base units, `_total` for counters. Dashboards rely on them. The names for moves,
//! claims and links are in `cluster/src/names.rs`.

/// Live order actors (gauge).
pub const ORDERS_LIVE: &str = "trackops_orders_live";
/// Bytes of the live orders, without the actors themselves (gauge).
pub const ORDERS_LIVE_BYTES: &str = "trackops_orders_live_bytes";
/// Requests refused for want of room, by `reason`.
pub const ORDERS_REFUSED: &str = "trackops_orders_refused_total";
/// Commands by `command` and `outcome`.
pub const ORDER_COMMANDS: &str = "trackops_order_commands_total";
/// Time from admission to answer, by `command`.
pub const ORDER_COMMAND_DURATION: &str = "trackops_order_command_duration_seconds";
/// Committed transitions by `from` and `to`.
pub const ORDER_TRANSITIONS: &str = "trackops_order_transitions_total";
/// Rows of an append.
pub const JOURNAL_BATCH_SIZE: &str = "trackops_journal_batch_size";
/// Time of one append, from call to answer.
pub const JOURNAL_COMMIT_DURATION: &str = "trackops_journal_commit_duration_seconds";
/// Actors started again after a failure.
pub const ACTOR_RESTARTS: &str = "trackops_actor_restarts_total";
/// Orders in quarantine (gauge).
pub const ACTORS_QUARANTINED: &str = "trackops_actors_quarantined";
/// Commands admitted and unanswered on this replica (gauge).
pub const MAILBOX_DEPTH: &str = "trackops_mailbox_depth";
/// Bytes of those commands (gauge).
pub const MAILBOX_BYTES: &str = "trackops_mailbox_bytes";
/// Owned shards (gauge).
pub const SHARDS_OWNED: &str = "trackops_shards_owned";
/// Appended rows refused because of a higher epoch.
pub const FENCED_APPENDS: &str = "trackops_fenced_appends_total";
/// Attempts to forward a command to the order's owner on another replica, by `outcome`.
pub const FORWARDED_COMMANDS: &str = "trackops_forwarded_commands_total";
/// How long a request waited because its shard was held for a move.
pub const SHARD_HELD: &str = "trackops_shard_held_seconds";
/// Rows in an outbox (gauge), by `outbox`.
pub const OUTBOX_PENDING: &str = "trackops_outbox_pending";
/// Age of the oldest row (gauge), by `outbox`.
pub const OUTBOX_OLDEST_AGE: &str = "trackops_outbox_oldest_age_seconds";
/// Rows that a relay couldn't read and has set aside (gauge), by `outbox`.
pub const OUTBOX_SET_ASIDE: &str = "trackops_outbox_set_aside";
/// Messages acknowledged by the bus, by `topic`.
pub const RELAY_PUBLISHED: &str = "trackops_relay_published_total";
/// Unread messages (gauge), by `group` and `topic`.
pub const BUS_LAG: &str = "trackops_bus_lag";
/// Parked messages, by `topic` and `reason`.
pub const DEAD_LETTERS: &str = "trackops_dead_letters_total";
/// Messages handled, by `group`, `topic` and `outcome`.
pub const MESSAGES: &str = "trackops_messages_total";
/// Cache reads and writes by `outcome`.
pub const CACHE_REQUESTS: &str = "trackops_cache_requests_total";
/// Open sockets and SSE streams (gauge).
pub const LIVE_SESSIONS: &str = "trackops_live_sessions";
/// Time from commit to the frame written to the socket.
pub const LIVE_PUSH_DURATION: &str = "trackops_live_push_duration_seconds";
/// Updates folded into a snapshot for a slow listener.
pub const LIVE_CONFLATED: &str = "trackops_live_conflated_total";
/// Time from placed to settled, by `outcome`.
pub const SAGA_DURATION: &str = "trackops_saga_duration_seconds";
/// Orders of this replica that have waited for inventory for too long, or whose deadline passed more than a
/// minute ago; counts to 10,000 (gauge).
pub const SAGA_STUCK: &str = "trackops_saga_stuck";
/// Broken invariants by `invariant`.
pub const INVARIANT_VIOLATIONS: &str = "trackops_invariant_violations_total";
/// Old rows removed, by `table`.
pub const PRUNED_ROWS: &str = "trackops_pruned_rows_total";
/// HTTP requests answered, by `class` of status (`2xx`).
pub const HTTP_REQUESTS: &str = "trackops_http_requests_total";
/// Time from a request's head to its answer's, by `route` (`/api/v1/orders/{id}`; `other` for none), `method` (`HEAD`
/// counts as `GET`) and `class` of status.
pub const HTTP_REQUEST_DURATION: &str = "trackops_http_request_duration_seconds";
/// Open HTTP connections (gauge).
pub const HTTP_CONNECTIONS: &str = "trackops_http_connections";
/// Requests that were denied, by `reason`.
pub const AUTH_DENIED: &str = "trackops_auth_denied_total";
/// Requests that a limit has let through, by `class`.
pub const RATE_ADMITTED: &str = "trackops_rate_admitted_total";
/// Requests over a limit, by `class`.
pub const RATE_LIMITED: &str = "trackops_rate_limited_total";
/// Draws of tokens that replicas share, by `outcome`.
pub const LIMIT_DRAWS: &str = "trackops_limit_draws_total";
/// Callers and addresses whose limits are in memory (gauge).
pub const LIMIT_PURSES: &str = "trackops_limit_purses";
/// Connections and subscriptions beyond a bound, by `bound`.
pub const BOUND_REACHED: &str = "trackops_bound_reached_total";
/// Orders that sockets and streams follow (gauge).
pub const LIVE_SUBSCRIPTIONS: &str = "trackops_live_subscriptions";
/// Audit entries that could not be kept.
pub const AUDIT_LOST: &str = "trackops_audit_lost_total";
/// Access tokens by `outcome`: `known` from before, `verified`, or why they were refused.
pub const ACCESS_TOKENS: &str = "trackops_access_tokens_total";
/// Fetches of an issuer's keys, by `issuer` and `outcome`.
pub const JWKS_FETCHES: &str = "trackops_jwks_fetches_total";
/// Age of an issuer's keys (gauge), by `issuer`; an hour is the most.
pub const JWKS_AGE: &str = "trackops_jwks_age_seconds";
