//! How many messages the relay puts into a produce request, as Kafka's log shows it: librdkafka sends
//! one batch of records a request, and the broker stores it as it came. Only the heads of the batches
//! are read, from the files that the broker has open.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::processes::open_files;

/// A record batch (Kafka's message format 2) begins with so many bytes before its records.
const HEAD_BYTES: usize = 61;
const LENGTH_AT: usize = 8;
const MAGIC_AT: usize = 16;
const COUNT_AT: usize = 57;
const MAGIC: u8 = 2;
/// What the length in a head doesn't count: itself and the offset before it.
const NOT_IN_LENGTH: u64 = 12;

/// How far the logs reach at a moment.
#[derive(Debug)]
pub struct LogEnds(BTreeMap<PathBuf, u64>);

/// What came between two moments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Produced {
    pub batches: u64,
    pub messages: u64,
}

impl LogEnds {
    /// The logs of topics whose names begin with `prefix`, of the broker `pid`.
    pub fn read(pid: u32, prefix: &str) -> Self {
        let logs = open_files(pid).filter(|path| is_log_of(path, prefix));
        let ends = logs.filter_map(|path| {
            let end = fs::metadata(&path).ok()?.len();
            Some((path, end))
        });
        Self(ends.collect())
    }

    /// Batches and messages from `earlier` to this moment.
    pub fn since(&self, earlier: &Self) -> io::Result<Produced> {
        let mut produced = Produced::default();
        for (path, end) in &self.0 {
            let from = earlier.0.get(path).copied().unwrap_or(0);
            if from < *end {
                count(&File::open(path)?, from, *end, &mut produced)?;
            }
        }
        Ok(produced)
    }
}

fn is_log_of(path: &Path, prefix: &str) -> bool {
    let folder = path.parent().and_then(Path::file_name);
    path.extension().is_some_and(|extension| extension == "log")
        && folder.is_some_and(|folder| folder.to_string_lossy().starts_with(prefix))
}

/// Goes from head to head; what isn't one (an append under way) is the end.
fn count(log: &File, from: u64, end: u64, produced: &mut Produced) -> io::Result<()> {
    let mut at = from;
    let mut head = [0; HEAD_BYTES];
    while at + HEAD_BYTES as u64 <= end {
        log.read_exact_at(&mut head, at)?;
        let (length, messages) = (number(&head, LENGTH_AT), number(&head, COUNT_AT));
        if head[MAGIC_AT] != MAGIC || length == 0 {
            break;
        }
        produced.batches += 1;
        produced.messages += messages;
        at += NOT_IN_LENGTH + length;
    }
    Ok(())
}

/// The big-endian number of four bytes at `at`.
fn number(head: &[u8; HEAD_BYTES], at: usize) -> u64 {
    let bytes = [head[at], head[at + 1], head[at + 2], head[at + 3]];
    u64::from(u32::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(messages: u32, bytes: usize) -> Vec<u8> {
        let mut batch = vec![0; HEAD_BYTES + bytes];
        let length = u32::try_from(batch.len()).expect("small") - 12;
        batch[LENGTH_AT..LENGTH_AT + 4].copy_from_slice(&length.to_be_bytes());
        batch[MAGIC_AT] = MAGIC;
        batch[COUNT_AT..HEAD_BYTES].copy_from_slice(&messages.to_be_bytes());
        batch
    }

    #[test]
    fn batches_between_two_moments_are_counted() -> anyhow::Result<()> {
        let folder = std::env::temp_dir().join(format!("produced-{}", rand::random::<u32>()));
        let topic = folder.join("p-ORDER_CREATED-3");
        fs::create_dir_all(&topic)?;
        let path = topic.join("00000000000000000000.log");
        let first = [batch(1, 40), batch(7, 90)].concat();
        fs::write(&path, &first)?;
        // Held open, as the broker holds it.
        let _open = File::open(&path)?;
        let ends = || LogEnds::read(std::process::id(), "p-");
        let before = ends();
        fs::write(&path, [first, batch(5, 10)].concat())?;
        let after = ends();
        let empty = LogEnds(BTreeMap::new());
        let (all, later) = (after.since(&empty)?, after.since(&before)?);
        fs::remove_dir_all(&folder)?;
        let expected = |batches, messages| Produced { batches, messages };
        assert_eq!((all, later), (expected(3, 13), expected(1, 5)));
        assert!(LogEnds::read(std::process::id(), "other-").0.is_empty());
        Ok(())
    }
}
