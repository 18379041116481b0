//! The rule that tests don't sleep to wait for something; a sleep with a reason states it.

use super::finding::Finding;
use super::source::Source;
use super::words::has_word;

/// Finds a sleep in `tests/` without a comment on its line or the one above.
pub fn check(source: &Source) -> Vec<Finding> {
    if !source.path.starts_with("tests/") {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (line, code) in source.numbered_code() {
        let above = line
            .checked_sub(2)
            .map(|index| source.lines[index].as_str());
        let says_why = [Some(source.lines[line - 1].as_str()), above];
        let says_why = says_why
            .into_iter()
            .flatten()
            .any(|line| line.contains("//"));
        if (has_word(code, "sleep(") || has_word(code, "sleep_until(")) && !says_why {
            let message = "a sleep that doesn't say why: wait for the condition, or explain it";
            findings.push(Finding::new(source, line, message));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(path: &str, text: &str) -> usize {
        check(&Source::new(path, text)).len()
    }

    #[test]
    fn a_reason_stands_on_the_line_or_above() {
        let bare = "fn a() {\n    tokio::time::sleep(x).await;\n}\n";
        assert_eq!(count("tests/a.rs", bare), 1);
        assert_eq!(count("src/a.rs", bare), 0);
        assert_eq!(
            count("tests/a.rs", "// the lease has to end\nthread::sleep(x);\n"),
            0
        );
        assert_eq!(
            count("tests/a.rs", "sleep(x); // the lease has to end\n"),
            0
        );
    }
}
