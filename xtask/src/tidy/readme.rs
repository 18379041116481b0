//! `tests/README.md` says which test shows what: each file that it names is there, and has the test that
//! stands behind it.

use std::path::Path;

use super::finding::Finding;
use super::source::{Source, is_word};

/// The document, from the workspace's root.
pub const PATH: &str = "tests/README.md";

/// The paths of these folders begin at the root; others are a part of a path, for which the text says of what.
const ROOTS: [&str; 6] = ["tests/", "src/", "domain/", "cluster/", "client/", "xtask/"];

/// Checks every line of the document.
pub fn check(readme: &str, sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut in_code = false;
    for (index, line) in readme.lines().enumerate() {
        if line.starts_with("```") {
            in_code = !in_code;
            continue;
        }
        let wrong = if in_code {
            wrong_filters(line, sources)
        } else {
            wrong_paths(line, sources)
        };
        findings.extend(wrong.into_iter().map(|message| Finding {
            path: PATH.to_owned(),
            line: index + 1,
            message,
        }));
    }
    findings
}

/// What stands in backquotes: files and folders, and a test behind its file and a colon.
fn wrong_paths(line: &str, sources: &[Source]) -> Vec<String> {
    let parts: Vec<&str> = line.split('`').collect();
    let mut wrong = Vec::new();
    for (at, part) in parts.iter().enumerate().skip(1).step_by(2) {
        if !is_path(part) {
            continue;
        }
        if part.ends_with('/') {
            if !sources.iter().any(|source| source.path.starts_with(part)) {
                wrong.push(format!("there is no folder {part}"));
            }
            continue;
        }
        let Some(source) = sources.iter().find(|source| source.path == *part) else {
            wrong.push(format!("there is no file {part}"));
            continue;
        };
        if let [": ", test] = parts[at + 1..parts.len().min(at + 3)]
            && !defines(source, test)
        {
            wrong.push(format!("{part} has no test {test}"));
        }
    }
    wrong
}

/// The paths of tests in a command line.
fn wrong_filters(line: &str, sources: &[Source]) -> Vec<String> {
    let filters = line.split_whitespace().filter(|word| word.contains("::"));
    let wrong = filters.filter(|filter| !is_somewhere(filter, sources));
    wrong
        .map(|filter| format!("no test has the path {filter}"))
        .collect()
}

/// Whether a module ends with this path, or has the test at its end.
fn is_somewhere(filter: &str, sources: &[Source]) -> bool {
    let filter = filter.trim_end_matches("::");
    let ends_with =
        |module: &str, path: &str| module == path || module.ends_with(&format!("::{path}"));
    sources.iter().any(|source| {
        let module = module_of(&source.path);
        let test = filter.rsplit_once("::");
        ends_with(&module, filter)
            || test.is_some_and(|(path, test)| ends_with(&module, path) && defines(source, test))
    })
}

fn module_of(path: &str) -> String {
    let path = path.trim_end_matches(".rs").trim_end_matches("/mod");
    path.replace('/', "::")
}

fn is_path(part: &str) -> bool {
    let is_one = Path::new(part).extension().is_some_and(|end| end == "rs") || part.ends_with('/');
    is_one && !part.contains(['*', '{', ' ']) && ROOTS.iter().any(|root| part.starts_with(root))
}

fn defines(source: &Source, function: &str) -> bool {
    let head = format!("fn {function}");
    source.numbered_code().any(|(_, code)| {
        let after = code.split_once(&head).map(|(_, after)| after);
        after.is_some_and(|after| !after.starts_with(is_word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(readme: &str) -> Vec<String> {
        let sources = [
            Source::new(
                "tests/it/faults/kill.rs",
                "//! Kill.\nasync fn nothing_is_lost() {}\n",
            ),
            Source::new(
                "src/outbox/tests.rs",
                "//! Outbox.\nfn order_is_kept<F>() {}\n",
            ),
        ];
        let findings = check(readme, &sources);
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_there_is_fine() {
        let table = "| | Kill. | `tests/it/faults/kill.rs`: `nothing_is_lost`, as `tests/it/` has it |\n\
                     | | Kept. | `src/outbox/tests.rs`: `order_is_kept` |\n\
                     | `Outbox` | `postgres/outbox.rs`, `src/x*.rs` | `fn`\n";
        assert_eq!(found(table), [""; 0]);
    }

    #[test]
    fn a_missing_file_folder_or_test_is_found() {
        let table = "`tests/it/kill.rs`: `nothing_is_lost`\n\
                     `tests/it/faults/kill.rs`: `nothing_is`, and `tests/contract/`\n";
        assert_eq!(
            found(table),
            [
                "tests/README.md:1: there is no file tests/it/kill.rs",
                "tests/README.md:2: tests/it/faults/kill.rs has no test nothing_is",
                "tests/README.md:2: there is no folder tests/contract/",
            ]
        );
    }

    #[test]
    fn filters_in_commands_are_paths_of_tests() {
        let console = "```console\n$ test faults::kill::  # x\n$ test kill::nothing_is_lost outbox::tests\n\
                       $ test faults::nothing_is_lost\n```\n";
        assert_eq!(
            found(console),
            ["tests/README.md:4: no test has the path faults::nothing_is_lost"]
        );
    }
}
