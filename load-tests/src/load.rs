//! Open-loop load: requests are due by a schedule that doesn't wait for answers,
//! and an answer's latency counts from when its request was due.

mod engine;
mod latencies;
mod plan;
mod schedule;
mod search;

pub use engine::{Pool, Timing, Traffic, run};
pub use latencies::{Latencies, Summary};
pub use plan::{Outcome, Plan};
pub use schedule::Schedule;
pub use search::{Found, Limits, confirm, highest};
