//! What clients saw while shards moved. Every answer is kept with its moment: only afterwards is it known
//! what moved when.

use std::time::Instant;

use serde::Serialize;
use uuid::Uuid;

use super::super::answers::Answers;
use crate::http::{CallError, Response};
use crate::load::{Latencies, Summary};

/// What came of one load or more.
#[derive(Default)]
pub struct Seen {
    samples: Vec<Sample>,
    /// When shards moved, and why.
    moves: Vec<(Phase, Instant, Instant)>,
    created: u64,
    creates_unknown: u64,
    cancelled: u64,
    cancels_unknown: u64,
    failed: u64,
    first_failure: Option<String>,
}

/// Why shards move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// A replica gives all away.
    Leaving,
    /// A replica gets its share.
    Returning,
}

/// What a client asked for.
#[derive(Clone, Copy, Debug)]
pub enum Command {
    Place,
    Cancel(Uuid),
}

/// The moments of one command.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// When it should have been sent.
    pub due: Instant,
    /// When its answer was there.
    pub answered: Instant,
}

/// Latencies by what went on meanwhile.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Summaries {
    pub leaving: Summary,
    pub returning: Summary,
    pub steady: Summary,
}

impl Seen {
    /// Shards moved between these moments.
    pub fn moved(&mut self, phase: Phase, from: Instant, to: Instant) {
        self.moves.push((phase, from, to));
    }

    /// Counts what came of a command.
    pub fn count(
        &mut self,
        command: Command,
        sample: Sample,
        answer: &Result<Response<'_>, CallError>,
    ) {
        match (command, answer) {
            (Command::Place, Ok(response)) if response.status == 201 => self.created += 1,
            (Command::Cancel(_), Ok(response)) if response.status == 200 => self.cancelled += 1,
            (_, answer) => return self.count_failure(command, sample, answer),
        }
        self.samples.push(sample);
    }

    /// Requests that were not answered with success.
    pub fn failed(&self) -> u64 {
        self.failed
    }

    /// The same for a person, with an example.
    pub fn failures(&self) -> String {
        let all = self.failed + u64::try_from(self.samples.len()).unwrap_or(u64::MAX);
        match &self.first_failure {
            None => format!("0 of {all}"),
            Some(first) => format!("{} of {all}, MUST BE 0; the first: {first}", self.failed),
        }
    }

    /// Latencies by what went on meanwhile; a command that overlaps a move counts as within it.
    pub fn summaries(&self) -> Summaries {
        let (mut leaving, mut returning) = (Latencies::new(), Latencies::new());
        let mut steady = Latencies::new();
        for sample in &self.samples {
            let mut moves = self.moves.iter();
            let meanwhile = moves.find(|(_, from, to)| sample.due < *to && sample.answered > *from);
            let side = match meanwhile {
                Some((Phase::Leaving, ..)) => &mut leaving,
                Some((Phase::Returning, ..)) => &mut returning,
                None => &mut steady,
            };
            side.record(sample.answered.saturating_duration_since(sample.due));
        }
        Summaries {
            leaving: leaving.summary(),
            returning: returning.summary(),
            steady: steady.summary(),
        }
    }

    /// Adds another load.
    pub fn add(&mut self, other: Self) {
        self.samples.extend(other.samples);
        self.moves.extend(other.moves);
        self.created += other.created;
        self.creates_unknown += other.creates_unknown;
        self.cancelled += other.cancelled;
        self.cancels_unknown += other.cancels_unknown;
        self.failed += other.failed;
        self.first_failure = self.first_failure.take().or(other.first_failure);
    }

    /// Adds what clients were told to `answers`.
    pub fn count_into(&self, answers: &mut Answers) {
        answers.told.created += self.created;
        answers.told.unknown += self.creates_unknown;
        answers.cancelled += self.cancelled;
        answers.cancels_unknown += self.cancels_unknown;
    }

    /// A refusal says that nothing was done, but for 503, which may come after its effect.
    fn count_failure(
        &mut self,
        command: Command,
        sample: Sample,
        answer: &Result<Response<'_>, CallError>,
    ) {
        let is_unknown = match answer {
            Ok(response) => response.status == 503,
            Err(CallError::Unknown(_)) => true,
            Err(CallError::NotSent(_)) => false,
        };
        match command {
            Command::Place => self.creates_unknown += u64::from(is_unknown),
            Command::Cancel(_) => self.cancels_unknown += u64::from(is_unknown),
        }
        self.failed += 1;
        let took = sample.answered.saturating_duration_since(sample.due);
        let (what, took) = (command.describe(), took.as_millis());
        self.first_failure.get_or_insert_with(|| match answer {
            Ok(response) => {
                let body = String::from_utf8_lossy(response.body);
                format!("{what} after {took} ms: {} {body}", response.status)
            }
            Err(error) => format!("{what} after {took} ms: {error}"),
        });
    }
}

impl Summaries {
    /// The longest wait while shards moved.
    pub fn longest_ms(&self) -> f64 {
        self.leaving.max_ms.max(self.returning.max_ms)
    }
}

impl Command {
    fn describe(self) -> String {
        match self {
            Self::Place => "placing an order".to_owned(),
            Self::Cancel(order) => format!("cancel of order {order}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn sample(from: Instant, due_ms: u64, took_ms: u64) -> Sample {
        let due = from + Duration::from_millis(due_ms);
        let answered = due + Duration::from_millis(took_ms);
        Sample { due, answered }
    }

    #[test]
    fn a_command_that_overlaps_a_move_counts_as_within_it() {
        let from = Instant::now();
        let at = |ms| from + Duration::from_millis(ms);
        let mut seen = Seen::default();
        // Before it, into it, all through it, within it, after it, and within the next.
        for (due, took) in [(0, 50), (90, 20), (90, 200), (199, 30), (200, 40), (500, 7)] {
            seen.samples.push(sample(from, due, took));
        }
        seen.moved(Phase::Leaving, at(100), at(200));
        seen.moved(Phase::Returning, at(500), at(600));
        let found = seen.summaries();
        let counts = [found.leaving, found.returning, found.steady].map(|summary| summary.count);
        assert_eq!(counts, [3, 1, 2]);
        assert!((found.longest_ms() - 200.0).abs() < 1.0);
        assert!(found.steady.max_ms < 51.0);
    }

    #[test]
    fn a_failure_is_counted_with_an_example_and_may_have_had_its_effect() {
        let mut seen = Seen::default();
        let at = sample(Instant::now(), 0, 5);
        let lost = Err(CallError::Unknown(anyhow::anyhow!("closed")));
        seen.count(Command::Place, at, &lost);
        let refused = Err(CallError::NotSent(anyhow::anyhow!("refused")));
        seen.count(Command::Cancel(Uuid::nil()), at, &refused);
        let mut answers = Answers::default();
        seen.count_into(&mut answers);
        assert_eq!((seen.failed(), seen.samples.len()), (2, 0));
        assert_eq!((answers.told.unknown, answers.cancels_unknown), (1, 0));
        assert!(seen.failures().contains("closed"), "{}", seen.failures());
    }
}
