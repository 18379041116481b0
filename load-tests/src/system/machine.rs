//! The machine that the figures are from.

use std::fs;

use serde::Serialize;

/// What a reader needs to judge a figure.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    pub cores: usize,
    pub model: String,
    pub memory_mib: u64,
    pub kernel: String,
}

/// Reads `/proc`; what isn't there is "unknown".
pub fn describe() -> Machine {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    Machine {
        cores: std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
        model: field(&cpuinfo, "model name").unwrap_or_else(|| "unknown".to_owned()),
        memory_mib: kib(&meminfo, "MemTotal").unwrap_or(0) / 1024,
        kernel: kernel.trim().to_owned(),
    }
}

/// The value of `name: value` in a file of `/proc`.
pub fn field(text: &str, name: &str) -> Option<String> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim() == name)
        .map(|(_, value)| value.trim().to_owned())
}

/// The value of `name: n kB`.
pub fn kib(text: &str, name: &str) -> Option<u64> {
    field(text, name)?.split_whitespace().next()?.parse().ok()
}
