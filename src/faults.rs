//! Named points at which tests make the program fail. They exist under `debug_assertions` only; in a release
//! build every call does nothing.
//!
//! `TRACKOPS_FAULT` is a comma-separated list of `point` or `point@n` (only the n-th time, from 1) or
//! `point=text` (only where the caller passes that text, e.g. an order id) or `point=text*n` (there, the
//! first n times). `clock-shift=ms` shifts the process' clock by so many milliseconds.

/// The points. A test that names another one does nothing, so each is a constant.
pub mod points {
    /// Abort before an append is sent.
    pub const CRASH_BEFORE_APPEND: &str = "crash-before-append";
    /// Abort after an append is committed, before anything is answered.
    pub const CRASH_AFTER_APPEND: &str = "crash-after-append";
    /// Abort after the cache is written, before anything is answered.
    pub const CRASH_AFTER_CACHE: &str = "crash-after-cache";
    /// Abort after the answer, before the push.
    pub const CRASH_AFTER_REPLY: &str = "crash-after-reply";
    /// Abort after outbox rows are fetched, before any of them is published.
    pub const CRASH_AFTER_FETCH: &str = "crash-after-fetch";
    /// Abort after outbox rows are removed.
    pub const CRASH_AFTER_REMOVAL: &str = "crash-after-removal";
    /// Abort after the bus acknowledged, before the outbox rows are removed.
    pub const CRASH_AFTER_PUBLISH: &str = "crash-after-publish";
    /// Abort after a consumer's own commit, before the offset is committed.
    pub const CRASH_BEFORE_OFFSET: &str = "crash-before-offset";
    /// Abort in the inventory's transaction: its rows are locked, nothing is written.
    pub const CRASH_AFTER_STOCK_LOCK: &str = "crash-after-stock-lock";
    /// Abort in the inventory's transaction: everything is written, nothing is committed.
    pub const CRASH_BEFORE_STOCK_COMMIT: &str = "crash-before-stock-commit";
    /// Abort after the inventory's transaction.
    pub const CRASH_AFTER_STOCK: &str = "crash-after-stock";
    /// Panic in the order actor's handler (`=order id`).
    pub const PANIC_IN_HANDLER: &str = "panic-in-handler";
    /// Defect: append without checking the epoch.
    pub const SKIP_FENCE: &str = "skip-fence";
    /// Defect: append without checking the version.
    pub const SKIP_VERSION_CHECK: &str = "skip-version-check";
    /// Defect: remove outbox rows before the bus has acknowledged.
    pub const DELETE_BEFORE_ACK: &str = "delete-before-ack";
    /// Defect: a replica that mirrors an order isn't told that the order's owner has lost it.
    pub const DEAF_MIRROR: &str = "deaf-mirror";
    /// The clock is wrong by so many milliseconds (`=ms`).
    pub const CLOCK_SHIFT: &str = "clock-shift";
    /// Defect: answer before the commit.
    pub const ANSWER_BEFORE_COMMIT: &str = "answer-before-commit";
    /// No failure: speak to other replicas as the next minor version might. It offers one more version of the
    /// link and adds fields that this one doesn't know.
    pub const SPEAK_NEWER: &str = "speak-newer";
    /// Defect: a stop that never ends.
    pub const HANG_AT_STOP: &str = "hang-at-stop";
}

/// Whether `point` is to fail now.
#[cfg(debug_assertions)]
pub fn hit(point: &str, text: &str) -> bool {
    use std::collections::HashMap;
    use std::sync::{LazyLock, Mutex, PoisonError};

    static WANTED: LazyLock<Vec<String>> = LazyLock::new(|| {
        std::env::var("TRACKOPS_FAULT")
            .unwrap_or_default()
            .split(',')
            .map(|w| w.trim().to_owned())
            .collect()
    });
    static HITS: LazyLock<Mutex<HashMap<String, u64>>> = LazyLock::new(Mutex::default);

    let count = |wanted: &str| {
        let mut hits = HITS.lock().unwrap_or_else(PoisonError::into_inner);
        let count = hits.entry(wanted.to_owned()).or_default();
        *count += 1;
        *count
    };
    WANTED.iter().any(|wanted| {
        if let Some((name, only)) = wanted.split_once('=') {
            let (only, times) = only.split_once('*').unwrap_or((only, ""));
            let here = name == point && only == text;
            return here && (times.is_empty() || times.parse().is_ok_and(|n| count(wanted) <= n));
        }
        if let Some((name, nth)) = wanted.split_once('@') {
            return name == point && nth.parse() == Ok(count(wanted));
        }
        wanted == point
    })
}

/// Whether `point` is to fail now: never, in a release build.
#[cfg(not(debug_assertions))]
pub fn hit(_point: &str, _text: &str) -> bool {
    false
}

/// Never returns if `point` is to fail now.
pub async fn hang(point: &str) {
    if hit(point, "") {
        tracing::error!(point, "fault point: hanging");
        std::future::pending::<()>().await;
    }
}

/// By how many milliseconds this process' clock is shifted on purpose.
#[cfg(debug_assertions)]
pub fn clock_shift_ms() -> i64 {
    use std::sync::LazyLock;

    static SHIFT_MS: LazyLock<i64> = LazyLock::new(|| {
        let wanted = std::env::var("TRACKOPS_FAULT").unwrap_or_default();
        let mut wanted = wanted.split(',').map(str::trim);
        let shift = wanted.find_map(|fault| fault.strip_prefix(points::CLOCK_SHIFT));
        shift
            .and_then(|shift| shift.strip_prefix('=')?.parse().ok())
            .unwrap_or(0)
    });
    *SHIFT_MS
}

/// By how many milliseconds this process' clock is shifted on purpose: 0 in a release build.
#[cfg(not(debug_assertions))]
pub const fn clock_shift_ms() -> i64 {
    0
}

/// Ends the process at once, as `kill -9` would, if `point` is to fail now.
pub fn crash(point: &str) {
    if hit(point, "") {
        tracing::error!(point, "fault point: aborting");
        std::process::abort();
    }
}
