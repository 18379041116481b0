//! The rule that `rust-version` names a compiler that tests have run with: not a newer one than this, which cargo would
//! refuse, and the one that the documents name. Clippy refuses what came into the standard library later.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::finding::Finding;

/// What tells people which Rust they need.
const DOCUMENTS: [&str; 2] = ["README.md", "CONTRIBUTING.md"];

type Version = (u32, u32);

/// Compares the workspace's `rust-version` with the compiler in use and with the documents.
pub fn check(root: &Path) -> Result<Vec<Finding>> {
    let read =
        |file: &str| fs::read_to_string(root.join(file)).with_context(|| format!("read {file}"));
    let manifest = read("Cargo.toml")?;
    let documents = DOCUMENTS.map(|file| read(file).map(|text| (file, text)));
    let documents: Vec<_> = documents.into_iter().collect::<Result<_>>()?;
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .arg("--version")
        .current_dir(root)
        .output()
        .context("start rustc")?;
    let compiler = version(&String::from_utf8_lossy(&output.stdout), "rustc ")
        .context("rustc doesn't tell its version")?;
    let wrong = wrong(&manifest, compiler, &documents);
    if wrong.is_empty() && declared(&manifest).is_some_and(|(_, declared)| declared < compiler) {
        eprintln!(
            "this compiler is newer than rust-version: the tests say nothing about the older one"
        );
    }
    Ok(wrong)
}

fn wrong(manifest: &str, compiler: Version, documents: &[(&str, String)]) -> Vec<Finding> {
    let finding = |path: &str, line, message| Finding {
        path: path.to_owned(),
        line,
        message,
    };
    let Some((line, (major, minor))) = declared(manifest) else {
        let message = "no rust-version = \"1.N\"".to_owned();
        return vec![finding("Cargo.toml", 1, message)];
    };
    let mut findings = Vec::new();
    if (major, minor) > compiler {
        let message = format!(
            "rust-version is newer than the compiler, {}.{}",
            compiler.0, compiler.1
        );
        findings.push(finding("Cargo.toml", line, message));
    }
    let phrase = format!("Rust (stable, {major}.{minor} or later)");
    let silent = documents.iter().filter(|(_, text)| !text.contains(&phrase));
    findings.extend(silent.map(|(file, _)| finding(file, 1, format!("doesn't say \"{phrase}\""))));
    findings
}

/// The line and the value of the workspace's `rust-version`.
fn declared(manifest: &str) -> Option<(usize, Version)> {
    let mut lines = manifest.lines().enumerate();
    lines.find_map(|(index, line)| Some((index + 1, version(line, "rust-version = \"")?)))
}

/// The two numbers behind `before`.
fn version(text: &str, before: &str) -> Option<Version> {
    let mut numbers = text
        .strip_prefix(before)?
        .split(|c: char| !c.is_ascii_digit());
    let mut next = || numbers.next()?.parse().ok();
    Some((next()?, next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(declared: &str, compiler: &str) -> Vec<String> {
        let manifest = format!("[workspace.package]\nrust-version = \"{declared}\"\n");
        let compiler = version(compiler, "rustc ").expect("a version");
        let says = (
            "README.md",
            "You need Rust (stable, 1.95 or later).".to_owned(),
        );
        let findings = wrong(&manifest, compiler, &[says]);
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_newer_one_than_the_compiler_is_refused() {
        assert_eq!(
            found("1.95", "rustc 1.95.0 (59807616e 2026-04-14)"),
            [""; 0]
        );
        assert_eq!(found("1.95", "rustc 1.100.0-nightly"), [""; 0]);
        assert_eq!(
            found("1.95", "rustc 1.94.1 (x)"),
            ["Cargo.toml:2: rust-version is newer than the compiler, 1.94"]
        );
    }

    #[test]
    fn a_document_that_names_another_is_refused() {
        assert_eq!(
            found("1.96", "rustc 1.96.0"),
            ["README.md:1: doesn't say \"Rust (stable, 1.96 or later)\""]
        );
        assert_eq!(
            found("new", "rustc 1.95.0"),
            ["Cargo.toml:1: no rust-version = \"1.N\""]
        );
    }
}
