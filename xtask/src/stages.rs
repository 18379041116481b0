//! The stages of a long command: each timed, a failure noted, and a table at the end.

use std::fmt::Write;
use std::time::{Duration, Instant};

use anyhow::{Error, Result, bail};

/// What was done so far.
#[derive(Debug, Default)]
pub struct Stages {
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    name: &'static str,
    took: Duration,
    outcome: Outcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Ok,
    Failed,
    Skipped,
    /// Not possible here, for this reason.
    LeftOut(&'static str),
}

impl Stages {
    /// Runs a stage; true if it succeeded.
    pub fn run(&mut self, name: &'static str, stage: impl FnOnce() -> Result<()>) -> bool {
        eprintln!("── {name}");
        let start = Instant::now();
        let result = stage();
        self.note(name, start.elapsed(), result.err().as_ref())
    }

    /// Notes a stage that ran beside the others; true if it succeeded.
    pub fn note(&mut self, name: &'static str, took: Duration, error: Option<&Error>) -> bool {
        if let Some(error) = error {
            eprintln!("{name}: {error:#}");
        }
        let outcome = if error.is_none() {
            Outcome::Ok
        } else {
            Outcome::Failed
        };
        self.rows.push(Row {
            name,
            took,
            outcome,
        });
        error.is_none()
    }

    /// Notes a stage that makes no sense any more.
    pub fn skip(&mut self, name: &'static str) {
        self.rows.push(Row {
            name,
            took: Duration::ZERO,
            outcome: Outcome::Skipped,
        });
    }

    /// Notes a stage that lacks something here; that is no failure.
    pub fn leave_out(&mut self, name: &'static str, why: &'static str) {
        self.rows.push(Row {
            name,
            took: Duration::ZERO,
            outcome: Outcome::LeftOut(why),
        });
    }

    /// Prints the table; an error names the stages that failed.
    pub fn finish(self, whole: Duration) -> Result<()> {
        println!("\n{}", self.table(whole));
        let is_bad = |row: &&Row| matches!(row.outcome, Outcome::Failed | Outcome::Skipped);
        let bad = self.rows.iter().filter(is_bad);
        let names: Vec<&str> = bad.map(|row| row.name).collect();
        if !names.is_empty() {
            bail!("not passed: {}", names.join(", "));
        }
        Ok(())
    }

    fn table(&self, whole: Duration) -> String {
        let mut table = format!("{:<24}{:>8}\n", "stage", "seconds");
        for row in &self.rows {
            let outcome = match row.outcome {
                Outcome::Ok => String::new(),
                Outcome::Failed => "  FAILED".to_owned(),
                Outcome::Skipped => "  skipped".to_owned(),
                Outcome::LeftOut(why) => format!("  left out: {why}"),
            };
            // Writing to a string can't fail.
            let _ = writeln!(
                table,
                "{:<24}{:>8.1}{outcome}",
                row.name,
                row.took.as_secs_f64()
            );
        }
        let _ = write!(table, "{:<24}{:>8.1}", "in all", whole.as_secs_f64());
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_or_skipped_stage_fails_the_whole_and_one_left_out_does_not() {
        let mut stages = Stages::default();
        assert!(stages.run("one", || Ok(())));
        stages.leave_out("none", "no tool");
        assert!(stages.table(Duration::ZERO).contains("left out: no tool"));
        assert!(stages.finish(Duration::ZERO).is_ok());

        let mut stages = Stages::default();
        assert!(!stages.run("two", || bail!("no")));
        stages.skip("three");
        let table = stages.table(Duration::from_millis(1500));
        assert!(table.contains("FAILED") && table.contains("skipped") && table.contains("1.5"));
        let error = stages
            .finish(Duration::ZERO)
            .err()
            .map(|error| error.to_string());
        assert_eq!(error.as_deref(), Some("not passed: two, three"));
    }
}
