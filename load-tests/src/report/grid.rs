//! Figures side by side: one line for each value of what is varied.

use std::fmt::Write as _;

use serde::Serialize;

/// A table with a head; columns are as wide as their widest cell.
#[derive(Debug, Serialize)]
pub struct Grid {
    head: Vec<String>,
    lines: Vec<Vec<String>>,
}

impl Grid {
    /// A grid without lines yet.
    pub fn new(head: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            head: head.into_iter().map(Into::into).collect(),
            lines: Vec::new(),
        }
    }

    /// Adds a line.
    pub fn line(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        self.lines.push(cells.into_iter().map(Into::into).collect());
    }

    /// The grid as text, two spaces before each line.
    pub fn text(&self) -> String {
        let all = || std::iter::once(&self.head).chain(&self.lines);
        let columns = all().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            all()
                .filter_map(|cells| cells.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for cells in all() {
            for (cell, width) in cells.iter().zip(&widths) {
                // Writing into a string can't fail.
                let _ = write!(text, "  {cell:>width$}");
            }
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut grid = Grid::new(["rate", "µs"]);
        grid.line(["200", "5240"]);
        grid.line(["1000", "1"]);
        assert_eq!(grid.text(), "  rate    µs\n   200  5240\n  1000     1\n");
    }
}
