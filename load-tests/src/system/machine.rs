//! The machine that the figures are from.

use std::fs;

use serde::Serialize;

use crate::numbers::to_f64;

/// The unit of CPU time in `/proc`: `USER_HZ`, which is 100 wherever Linux has glibc or musl.
pub const TICKS_PER_SECOND: f64 = 100.0;

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

/// User and system time in `/proc/<pid>/stat`, in seconds.
pub fn cpu_seconds(stat: &str) -> Option<f64> {
    // The second field is a name in parentheses, which may hold anything; 14 and 15 are the times.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut times = rest.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (times.next()?.parse().ok()?, times.next()?.parse().ok()?);
    Some(to_f64(user + system) / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::cpu_seconds;

    #[test]
    fn a_name_with_parentheses_moves_no_field() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 900 0 0 0 250 50 0 0 20 0 9 0 4242 1 2";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        assert_eq!(cpu_seconds("7 (a) S 1"), None);
    }
}
