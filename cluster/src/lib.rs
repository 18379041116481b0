//! Cluster sharding.
