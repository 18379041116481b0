//! Marks: numbers up to which all rows of an outbox are visible. A number is drawn before its row is visible,
//! so a row may appear below others that were read long ago. The relay may skip the rows up to a number only
//! when none of them can still appear. Without marks every fetch would scan the dead rows before the first
//! live one, and a long snapshot keeps millions of them.

use sqlx::PgConnection;

pub(super) const MARK: &str = "SELECT numbered, writers FROM outbox_mark()";

/// Rows removed between two marks. A fetch scans at most so many dead rows, which takes a fraction of a
/// millisecond; a mark costs about as much.
const REMOVED_MAX: usize = 500;

/// What one connection knows of the numbers. It is void on the next connection: a server that has crashed
/// draws numbers again that it had drawn but not written.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// Every row numbered up to this is visible to a statement that begins now, or gone.
    settled: i64,
    /// The last number drawn when the last mark was taken, and the transactions that were open then and may
    /// have drawn a number.
    taken: Option<(i64, Vec<String>)>,
    removed: usize,
}

impl Marks {
    /// Whether a mark is worth its cost.
    pub fn is_due(&self) -> bool {
        self.settled == 0 || self.removed >= REMOVED_MAX
    }

    pub fn settled(&self) -> i64 {
        self.settled
    }

    pub fn removed(&mut self, rows: usize) {
        self.removed = self.removed.saturating_add(rows);
    }

    /// Takes a mark. The mark before it becomes valid if all its writers have ended.
    pub async fn take(&mut self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let (numbered, writers): (i64, Vec<String>) =
            sqlx::query_as(MARK).fetch_one(connection).await?;
        self.note(numbered, writers);
        Ok(())
    }

    fn note(&mut self, numbered: i64, writers: Vec<String>) {
        self.removed = 0;
        if writers.is_empty() {
            self.settled = self.settled.max(numbered);
            self.taken = None;
            return;
        }
        match &mut self.taken {
            Some((earlier, before)) => {
                before.retain(|writer| writers.contains(writer));
                if before.is_empty() {
                    self.settled = self.settled.max(*earlier);
                    self.taken = Some((numbered, writers));
                }
            }
            None => self.taken = Some((numbered, writers)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_number_counts_once_all_who_could_have_drawn_it_have_ended() {
        let mut marks = Marks::default();
        marks.note(7, names(&["1/1", "2/1"]));
        assert_eq!(marks.settled(), 0);
        marks.note(20, names(&["2/1", "3/1"]));
        assert_eq!(marks.settled(), 0, "2/1 may hold back a row up to 7");
        marks.note(30, names(&["3/1", "2/2"]));
        assert_eq!(marks.settled(), 7);
        // 30 was drawn while 3/1 and 2/2 were open, not the writers of the earlier marks.
        marks.note(40, names(&["4/1"]));
        assert_eq!(marks.settled(), 30);
        marks.note(50, names(&[]));
        assert_eq!(marks.settled(), 50, "nobody was at work");
    }

    #[test]
    fn a_mark_is_due_at_first_and_after_so_many_rows() {
        let mut marks = Marks::default();
        assert!(marks.is_due());
        marks.note(9, names(&[]));
        assert!(!marks.is_due());
        marks.removed(REMOVED_MAX);
        assert!(marks.is_due());
        marks.note(900, names(&["1/1"]));
        assert!(!marks.is_due());
    }
}
