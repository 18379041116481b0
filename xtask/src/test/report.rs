//! What the test programs say at their ends: kept for the end of a long output, and counted.

/// The summary lines of one command.
#[derive(Debug, Default)]
pub struct Report {
    summaries: Vec<String>,
    ran: u64,
}

impl Report {
    /// Takes a line of output; most say nothing.
    pub fn read(&mut self, line: &str) {
        if !line.starts_with("test result:") {
            return;
        }
        self.ran += count(line, "passed") + count(line, "failed");
        if !line.starts_with("test result: ok. 0 passed; 0 failed; 0 ignored") {
            self.summaries.push(line.to_owned());
        }
    }

    /// How many tests passed or failed.
    pub fn ran(&self) -> u64 {
        self.ran
    }

    /// Prints the lines again.
    pub fn print(&self) {
        if !self.summaries.is_empty() {
            println!("\n{}", self.summaries.join("\n"));
        }
    }
}

/// The number before a word.
fn count(line: &str, word: &str) -> u64 {
    let before = line.split(word).next().filter(|before| *before != line);
    let number = before.and_then(|before| before.split_whitespace().next_back());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ran_is_counted_and_empty_programs_are_not_shown() {
        let mut report = Report::default();
        report.read("test actors::commit::a_test ... ok");
        report.read("test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 9 filtered out");
        assert_eq!((report.ran(), report.summaries.len()), (0, 0));
        report.read("test result: ok. 0 passed; 0 failed; 1 ignored; 0 measured; 9 filtered out");
        assert_eq!((report.ran(), report.summaries.len()), (0, 1));
        report.read("test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured");
        assert_eq!((report.ran(), report.summaries.len()), (15, 2));
    }
}
