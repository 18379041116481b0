//! `cargo xtask tidy`: checks that the compiler doesn't make. Cargo checks formatting and lints; the design's
//! own rules check the text of the sources.

mod documents;
mod files;
mod finding;
mod headers;
mod imports;
mod lock;
mod readme;
mod rust_version;
mod sizes;
mod sleeps;
mod source;
mod words;

use std::fs;

use anyhow::{Context, Result, bail};

use crate::cargo;
use finding::Finding;
use source::Source;

/// Runs every check, also after one has failed.
pub fn run() -> Result<()> {
    let checks = [run_text_checks(), run_fmt(), run_clippy()];
    let mut errors = checks
        .into_iter()
        .filter_map(Result::err)
        .map(|error| format!("{error:#}"));
    match errors.next() {
        None => Ok(()),
        Some(first) => bail!(
            "{}",
            errors.fold(first, |all, error| format!("{all}; {error}"))
        ),
    }
}

/// Checks the formatting by `cargo fmt`.
pub fn run_fmt() -> Result<()> {
    cargo::run(&["fmt", "--all", "--check"])
}

/// Clippy over everything, warnings denied.
pub fn run_clippy() -> Result<()> {
    cargo::run(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ])
}

/// Clippy over what the production build has beside, warnings denied: everything behind the feature `tls`.
pub fn run_clippy_tls() -> Result<()> {
    cargo::run_command(&mut cargo::with_tls(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--features",
        cargo::TLS,
        "--",
        "-D",
        "warnings",
    ]))
}

/// The documentation of our crates, warnings denied: a link that leads nowhere, for example. With private items,
/// because it is for those who work on them.
pub fn run_doc() -> Result<()> {
    let args = [
        "doc",
        "--workspace",
        "--no-deps",
        "--document-private-items",
    ];
    let mut command = cargo::command(&args);
    cargo::run_command(command.env("RUSTDOCFLAGS", "-D warnings"))
}

/// Runs the rules on the text.
pub fn run_text_checks() -> Result<()> {
    let root = cargo::workspace();
    let mut findings = Vec::new();
    let sources = files::rust_sources(root)?;
    for source in &sources {
        check(source, &mut findings);
    }
    findings.extend(imports::circles::check(&sources));
    let lock = fs::read_to_string(root.join("Cargo.lock")).context("read Cargo.lock")?;
    findings.extend(lock::check(&lock));
    let tests = fs::read_to_string(root.join(readme::PATH)).context("read tests/README.md")?;
    findings.extend(readme::check(&tests, &sources));
    for path in documents::PATHS {
        let text = fs::read_to_string(root.join(path)).with_context(|| format!("read {path}"))?;
        findings.extend(documents::check(path, &text, &sources));
    }
    findings.extend(rust_version::check(root)?);
    for finding in &findings {
        println!("{finding}");
    }
    if findings.is_empty() {
        Ok(())
    } else {
        bail!("tidy has {} findings", findings.len())
    }
}

fn check(source: &Source, findings: &mut Vec<Finding>) {
    // Generated code follows no rules of ours.
    if source.is_generated() {
        return;
    }
    findings.extend(headers::check(source));
    findings.extend(sizes::check(source));
    findings.extend(words::check(source));
    findings.extend(sleeps::check(source));
    findings.extend(imports::check(source));
}
