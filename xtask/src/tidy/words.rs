//! The rule against macros of unfinished code.

use super::finding::Finding;
use super::source::{Source, is_word};

const REFUSED: [(&str, &str); 3] = [
    ("todo!", "unfinished code"),
    ("unimplemented!", "unfinished code"),
    ("dbg!", "left over from debugging"),
];

/// Finds macros that only unfinished code uses.
pub fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, code) in source.numbered_code() {
        for (name, why) in REFUSED {
            if has_word(code, name) {
                findings.push(Finding::new(source, line, format!("`{name}`: {why}")));
            }
        }
    }
    findings
}

/// Whether the code contains the word, and not only as the end of a longer one.
pub fn has_word(code: &str, word: &str) -> bool {
    code.match_indices(word)
        .any(|(at, _)| !code[..at].chars().next_back().is_some_and(is_word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<usize> {
        check(&Source::new("src/a.rs", text))
            .iter()
            .map(|finding| finding.line)
            .collect()
    }

    #[test]
    fn only_the_macros_themselves() {
        assert_eq!(lines("a();\ntodo!();\nlet x = dbg!(y);\n"), [2, 3]);
        assert!(lines("// todo!()\nlet a = \"dbg!(x)\";\nmy_dbg!(x);\n").is_empty());
    }
}
