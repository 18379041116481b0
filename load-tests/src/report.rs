//! What a benchmark found: a table on the screen and a JSON file.

mod grid;

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::Value;

pub use self::grid::Grid;
use crate::load::Summary;
use crate::system::{Machine, Settings, describe_machine, unix_time};

/// Everything of one invocation.
#[derive(Serialize)]
pub struct Report {
    what: String,
    unix_time: u64,
    quick: bool,
    machine: Machine,
    versions: Vec<(String, String)>,
    sections: Vec<Section>,
    /// Where a benchmark failed, its reason.
    failures: Vec<(String, String)>,
}

/// One benchmark: rows for people, data for programs.
#[derive(Serialize)]
pub struct Section {
    /// What was measured.
    pub title: String,
    /// The rows of the table.
    pub rows: Vec<Row>,
    /// Figures side by side, below the rows.
    pub grids: Vec<Grid>,
    /// How it was measured: what to know before comparing.
    pub notes: Vec<String>,
    /// Everything, attempts and settings too.
    pub data: Value,
}

/// One line of the table.
#[derive(Serialize)]
pub struct Row {
    name: String,
    value: String,
}

impl Section {
    /// A section without rows yet.
    pub fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            rows: Vec::new(),
            grids: Vec::new(),
            notes: Vec::new(),
            data: Value::Null,
        }
    }

    /// Adds a row.
    pub fn row(&mut self, name: impl Into<String>, value: impl Into<String>) -> &mut Self {
        self.rows.push(Row {
            name: name.into(),
            value: value.into(),
        });
        self
    }

    /// Adds a note.
    pub fn note(&mut self, note: impl Into<String>) -> &mut Self {
        self.notes.push(note.into());
        self
    }

    /// Adds a row of percentiles.
    pub fn latency(&mut self, name: impl Into<String>, latency: &Summary) -> &mut Self {
        self.row(name, percentiles(latency))
    }
}

impl Report {
    /// An empty report.
    pub fn new(what: &str, settings: &Settings, versions: Vec<(String, String)>) -> Self {
        Self {
            what: what.to_owned(),
            unix_time: unix_time(),
            quick: settings.quick,
            machine: describe_machine(),
            versions,
            sections: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// Adds what a benchmark found, or why it found nothing.
    pub fn add(&mut self, name: &str, found: Result<Vec<Section>>) {
        match found {
            Ok(sections) => self.sections.extend(sections),
            Err(error) => {
                eprintln!("{name} FAILED: {error:#}");
                self.failures.push((name.to_owned(), format!("{error:#}")));
            }
        }
    }

    /// Whether a benchmark failed.
    pub fn has_failed(&self) -> bool {
        !self.failures.is_empty()
    }

    /// Writes `<what>-<unix time>.json` and gives its path.
    pub fn write(&self, settings: &Settings) -> Result<PathBuf> {
        fs::create_dir_all(&settings.output)?;
        let path = settings
            .output
            .join(format!("{}-{}.json", self.what, self.unix_time));
        let text = serde_json::to_string_pretty(self)?;
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        Ok(path)
    }

    /// The table. Writing into a string can't fail.
    pub fn table(&self) -> String {
        let Machine {
            cores,
            model,
            memory_mib,
            kernel,
        } = &self.machine;
        let mut text = format!(
            "\n{model}, {cores} cores, {} GiB, Linux {kernel}\n",
            memory_mib / 1024
        );
        for (name, version) in &self.versions {
            let _ = writeln!(text, "{name}: {version}");
        }
        if self.quick {
            text += "QUICK RUN: the figures mean little\n";
        }
        for section in &self.sections {
            text += &section.table();
        }
        for (name, reason) in &self.failures {
            let _ = writeln!(text, "\n{name} FAILED: {reason}");
        }
        text
    }
}

impl Section {
    fn table(&self) -> String {
        let width = self
            .rows
            .iter()
            .map(|row| row.name.chars().count())
            .max()
            .unwrap_or(0);
        let mut text = format!("\n{}\n", self.title);
        for Row { name, value } in &self.rows {
            let _ = writeln!(text, "  {name:width$}  {value}");
        }
        for grid in &self.grids {
            text += &grid.text();
        }
        for note in &self.notes {
            let _ = writeln!(text, "  * {note}");
        }
        text
    }
}

/// Percentiles on one line.
pub fn percentiles(latency: &Summary) -> String {
    format!(
        "p50 {:.2} ms   p99 {:.2} ms   p99.9 {:.2} ms   max {:.1} ms   ({} samples)",
        latency.p50_ms, latency.p99_ms, latency.p99_9_ms, latency.max_ms, latency.count
    )
}
