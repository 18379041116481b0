//! The rule that a file is short enough to be read in one sitting.

use super::finding::Finding;
use super::source::Source;

/// The most lines (house style, 1); tests at the end of the file don't count.
const LINES_MAX: usize = 500;

/// Refuses a file that is too long.
pub fn check(source: &Source) -> Option<Finding> {
    let lines = source.lines_without_tests();
    let message = format!("{lines} lines without tests: a file has at most {LINES_MAX}, divide it");
    (lines > LINES_MAX).then(|| Finding::new(source, LINES_MAX + 1, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_inclusive_and_tests_are_free() {
        let text = "\n".repeat(LINES_MAX);
        assert_eq!(check(&Source::new("src/a.rs", &text)), None);
        let tests = format!("{text}#[cfg(test)]\nmod tests {{\n}}\n");
        assert_eq!(check(&Source::new("src/a.rs", &tests)), None);
        let longer = format!("{text}\n");
        assert_eq!(
            check(&Source::new("src/a.rs", &longer)).map(|f| f.line),
            Some(LINES_MAX + 1)
        );
    }
}
