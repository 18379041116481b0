//! What happened in a run, in order; and what went wrong.

use std::fmt::Write as _;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;

#[derive(Clone)]
pub struct Trace(Arc<Mutex<Lines>>);

struct Lines {
    start: Instant,
    text: String,
    wrong: Vec<String>,
}

impl Trace {
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Lines {
            start: Instant::now(),
            text: String::new(),
            wrong: Vec::new(),
        })))
    }

    pub fn say(&self, what: std::fmt::Arguments<'_>) {
        let mut lines = self.0.lock();
        let at = lines.start.elapsed().as_millis();
        writeln!(lines.text, "{at:>6} {what}").expect("a string takes everything");
    }

    /// An invariant doesn't hold.
    pub fn wrong(&self, what: String) {
        self.say(format_args!("WRONG {what}"));
        self.0.lock().wrong.push(what);
    }

    pub fn text(&self) -> String {
        self.0.lock().text.clone()
    }

    pub fn found(&self) -> Vec<String> {
        self.0.lock().wrong.clone()
    }
}
