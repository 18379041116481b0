//! Consumes the bus: the loop polls, keeps the order of each key, retries, parks dead letters and commits
//! offsets. The order service's handler is here too. Leaves what a message means to its handler.

mod counters;
pub mod dead_letters;
mod dependency;
pub mod envelope;
pub mod handler;
mod handler_calls;
mod in_flight;
mod key_queue;
mod offsets;
pub mod orders;
mod parking;
mod partitions;
pub mod runner;
pub mod settings;
mod trouble_log;
mod upkeep;
mod work;

#[cfg(test)]
mod parsing_tests;
#[cfg(test)]
mod runner_tests;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod trouble_tests;
