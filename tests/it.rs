//! The one integration-test binary: contract suites, end to end, fault injection.

#[path = "contract/mod.rs"]
mod contract;
#[path = "it/embedded.rs"]
mod embedded;
#[path = "it/kafka.rs"]
mod kafka;
