//! Answers that show names, addresses or secrets: nobody in between may keep them.

use axum::Json;
use axum::http::{HeaderName, header};

/// Such an answer.
pub type Private<T> = ([(HeaderName, &'static str); 1], Json<T>);

/// An answer that shows `shown`.
pub fn private<T>(shown: T) -> Private<T> {
    let kept = (header::CACHE_CONTROL, "private, no-store");
    ([kept], Json(shown))
}
