//! The file beside a server's data by which a later command finds the server again.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

const FILE: &str = "server.txt";

/// The running (or last) server of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    pub port: u16,
    pub pid: u32,
    /// Clock ticks since boot, so that another process with the same id isn't taken for it.
    pub started_ticks: u64,
}

impl Record {
    /// Reads the folder's record, if there is a whole one.
    pub fn read(dir: &Path) -> Option<Self> {
        Self::parse(&fs::read_to_string(dir.join(FILE)).ok()?)
    }

    /// Writes the folder's record, whole or not at all.
    pub fn write(self, dir: &Path) -> Result<()> {
        let partial = dir.join("server.txt.partial");
        fs::write(&partial, self.render()).context("write the server's record")?;
        fs::rename(&partial, dir.join(FILE)).context("put the server's record in place")
    }

    fn render(self) -> String {
        format!(
            "port={}\npid={}\nstarted_ticks={}\n",
            self.port, self.pid, self.started_ticks
        )
    }

    fn parse(text: &str) -> Option<Self> {
        let value = |key: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
        };
        Some(Self {
            port: value("port")?.parse().ok()?,
            pid: value("pid")?.parse().ok()?,
            started_ticks: value("started_ticks")?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_wrote_and_nothing_less() {
        let record = Record {
            port: 15432,
            pid: 7,
            started_ticks: 99,
        };
        assert_eq!(Record::parse(&record.render()), Some(record));
        assert_eq!(Record::parse("port=15432\npid=7\n"), None);
    }
}
