//! Journal, outbox, stock and membership on PostgreSQL.
