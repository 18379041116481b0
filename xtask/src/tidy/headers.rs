//! The rule that every module begins with its purpose.

use super::finding::Finding;
use super::source::Source;

/// The first line that isn't blank must be a `//!` with text.
pub fn check(source: &Source) -> Option<Finding> {
    let first = source.lines.iter().position(|line| !line.trim().is_empty());
    let line = first.map_or(1, |index| index + 1);
    let text = first.and_then(|index| source.lines[index].strip_prefix("//!"));
    if text.is_some_and(|text| !text.trim().is_empty()) {
        return None;
    }
    let message =
        "no `//!` header: a module opens with what it is for and what it leaves to others";
    Some(Finding::new(source, line, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_fine(text: &str) -> bool {
        check(&Source::new("src/a.rs", text)).is_none()
    }

    #[test]
    fn the_header_comes_first_and_says_something() {
        assert!(is_fine("//! Journal.\nuse std::fmt;\n"));
        assert!(!is_fine("use std::fmt;\n//! Journal.\n"));
        assert!(!is_fine("//!\n"));
        assert!(!is_fine(""));
    }
}
