//! A raw reader of an order's server-sent events (WHATWG HTML, "Server-sent events").

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use serde_json::Value;

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// `event:`.
    pub kind: String,
    /// `id:`; empty if there is none.
    pub id: String,
    /// `data:` as JSON.
    pub data: Value,
}

/// An open stream.
pub struct EventStream {
    bytes: BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    buffer: String,
    /// The HTTP status that it began with.
    pub status: u16,
}

impl EventStream {
    /// Opens `url`, going on after `last` if there is one.
    pub async fn open(url: &str, last: Option<&str>) -> Self {
        let mut request = reqwest::Client::new().get(url);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = request.send().await.expect("the stream opens");
        Self {
            status: response.status().as_u16(),
            bytes: response.bytes_stream().boxed(),
            buffer: String::new(),
        }
    }

    /// The next event; `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((event, rest)) = self.buffer.split_once("\n\n") {
                let parsed = parse(event);
                self.buffer = rest.into();
                if parsed.is_some() {
                    return parsed;
                }
                continue;
            }
            let next = tokio::time::timeout(Duration::from_secs(30), self.bytes.next());
            let bytes = next
                .await
                .expect("an event, or the end")
                .and_then(Result::ok)?;
            self.buffer.push_str(&String::from_utf8_lossy(&bytes));
        }
    }
}

/// A comment gives `None`.
fn parse(text: &str) -> Option<Event> {
    let field = |name: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(name));
        value.map(|value| value.trim_start().to_owned())
    };
    Some(Event {
        kind: field("event:")?,
        id: field("id:").unwrap_or_default(),
        data: serde_json::from_str(&field("data:")?).ok()?,
    })
}
