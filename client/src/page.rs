//! Lists in pages.

use serde::Deserialize;

/// Which page of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageRequest {
    /// At most so many, 1 to 200; 50 unless given.
    pub limit: Option<u32>,
    /// `next_cursor` of the page before; without it, the first page.
    pub cursor: Option<String>,
}

impl PageRequest {
    /// The first page, of at most `limit`.
    pub fn first(limit: u32) -> Self {
        Self {
            limit: Some(limit),
            cursor: None,
        }
    }

    /// Its pairs of the query.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&'static str, String)> {
        let limit = self.limit.map(|limit| ("limit", limit.to_string()));
        let cursor = self.cursor.clone().map(|cursor| ("cursor", cursor));
        limit.into_iter().chain(cursor)
    }
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// For the next page; none on the last one.
    #[serde(default = "none")]
    pub next_cursor: Option<String>,
}

/// Serde's own default would ask `T` for one.
fn none() -> Option<String> {
    None
}

impl<T> Page<T> {
    /// What to ask for the next page, with the same `limit`; `None` after the last one.
    pub fn next(&self, limit: Option<u32>) -> Option<PageRequest> {
        let cursor = self.next_cursor.clone()?;
        Some(PageRequest {
            limit,
            cursor: Some(cursor),
        })
    }
}
