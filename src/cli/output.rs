//! Standard output, flushed line by line, so that a program that reads it sees each line at once.

use std::io::{self, Write};

use super::failure::CliError;

/// Where a command prints.
pub struct Output(Box<dyn Write + Send>);

impl Output {
    /// The process' standard output.
    pub fn stdout() -> Self {
        Self(Box::new(io::stdout()))
    }

    /// Anything else that takes bytes.
    #[cfg(test)]
    pub fn to(writer: impl Write + Send + 'static) -> Self {
        Self(Box::new(writer))
    }

    /// Prints a line and flushes it.
    pub fn line(&mut self, line: &str) -> Result<(), CliError> {
        self.text(&format!("{line}\n"))
    }

    /// Prints text that has its line ends, and flushes it.
    pub fn text(&mut self, text: &str) -> Result<(), CliError> {
        self.0
            .write_all(text.as_bytes())
            .and_then(|()| self.0.flush())
            .map_err(CliError::Output)
    }
}
