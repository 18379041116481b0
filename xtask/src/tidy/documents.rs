//! The documents for those who change something name files and what is in them: each file is there, and has
//! the name that stands before it.

use std::path::Path;

use super::finding::Finding;
use super::source::{Source, is_word};

/// The documents, from the workspace's root.
pub const PATHS: [&str; 7] = [
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "docs/architecture/bounds.md",
    "docs/architecture/cluster.md",
    "docs/architecture/failures.md",
    "docs/architecture/live.md",
    "docs/architecture/relay.md",
];

/// Checks one document. `` `name` in `file` `` says that the file has the name, and so do several names that
/// are parted by commas or "and".
pub fn check(path: &str, text: &str, sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let parts: Vec<&str> = text.split('`').collect();
    let mut line = 1;
    for (at, part) in parts.iter().enumerate() {
        // Every second part stands in backquotes.
        if at % 2 == 1 && is_rust_file(part) {
            let files: Vec<&Source> = sources.iter().filter(|it| is_at(&it.path, part)).collect();
            let mut wrong = Vec::new();
            if files.is_empty() {
                wrong.push(format!("there is no file {part}"));
            } else {
                let names = names_before(&parts, at).into_iter();
                let missing = names.filter(|name| !files.iter().any(|file| has(file, name)));
                wrong.extend(missing.map(|name| format!("{part} has no {name}")));
            }
            findings.extend(wrong.into_iter().map(|message| Finding {
                path: path.to_owned(),
                line,
                message,
            }));
        }
        line += part.matches('\n').count();
    }
    findings
}

/// Paths begin at the root, at `src/`, or below a folder that the text has named before.
fn is_at(path: &str, part: &str) -> bool {
    let before = path.strip_suffix(part);
    before.is_some_and(|before| before.is_empty() || before.ends_with('/'))
}

fn is_rust_file(part: &str) -> bool {
    let is_one = Path::new(part).extension().is_some_and(|end| end == "rs");
    is_one && !part.contains(['*', '{', ' ', '…'])
}

/// The names that are said to be in the file at `at`.
fn names_before<'a>(parts: &[&'a str], at: usize) -> Vec<&'a str> {
    let mut names = Vec::new();
    let mut at = at;
    let mut parting = &["in"][..];
    while at >= 2 && parting.contains(&parts[at - 1].trim()) && is_name(parts[at - 2]) {
        at -= 2;
        names.push(parts[at]);
        parting = &[",", "and", ", and"];
    }
    names
}

fn is_name(part: &str) -> bool {
    part.split("::")
        .all(|word| !word.is_empty() && word.chars().all(is_word))
}

/// Whether each word of a path stands somewhere in the file.
fn has(file: &Source, name: &str) -> bool {
    name.split("::").all(|word| {
        file.lines.iter().any(|line| {
            line.match_indices(word).any(|(start, _)| {
                let before = line[..start].chars().next_back();
                let after = line[start + word.len()..].chars().next();
                !before.is_some_and(is_word) && !after.is_some_and(is_word)
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let sources = [
            Source::new(
                "src/router/retry.rs",
                "//! Retry.\nstruct Retry;\nconst MAX: u8 = 1;\n",
            ),
            Source::new("src/actors/mod.rs", "//! Actors.\n"),
        ];
        let findings = check("A.md", text, &sources);
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_there_is_fine() {
        let text = "`Retry` in `router/retry.rs`, `MAX`, `Retry::MAX` and `Retry`\nin `src/router/retry.rs`; \
                    `cargo` in a shell, `TABLE` (`imports.rs`x), `src/x*.rs`, `actors/mod.rs`\n";
        let wrong = found(text);
        assert_eq!(wrong, ["A.md:2: there is no file imports.rs"]);
    }

    #[test]
    fn what_is_not_there_is_found() {
        let text = "one\n`Gone`, `Retry` and `MIN` in\n`router/retry.rs`, `actors/room.rs`\n";
        assert_eq!(
            found(text),
            [
                "A.md:3: router/retry.rs has no MIN",
                "A.md:3: router/retry.rs has no Gone",
                "A.md:3: there is no file actors/room.rs",
            ]
        );
    }
}
