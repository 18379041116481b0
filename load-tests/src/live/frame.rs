//! The fields of a live message that measurements need.

use std::borrow::Cow;

use serde::Deserialize;
use uuid::Uuid;

/// A message from the server.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Frame<'a> {
    /// `snapshot`, `update`, `location` or `error`.
    #[serde(rename = "type", borrow)]
    pub kind: Cow<'a, str>,
    /// The order it is about.
    pub order_id: Option<Uuid>,
    #[serde(borrow)]
    status: Option<Cow<'a, str>>,
    #[serde(borrow)]
    order: Option<View<'a>>,
}

#[derive(Debug, Deserialize)]
struct View<'a> {
    #[serde(borrow)]
    status: Cow<'a, str>,
}

impl Frame<'_> {
    /// The status that an `update` or a `snapshot` shows.
    pub fn status(&self) -> Option<&str> {
        self.status
            .as_deref()
            .or_else(|| self.order.as_ref().map(|order| order.status.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn updates_and_snapshots_show_their_status() {
        let id = "01890a5d-ac96-774b-bcce-b302099a8057";
        let update = format!(
            r#"{{"type":"update","orderId":"{id}","version":2,"previousStatus":"PENDING","status":"CONFIRMED"}}"#
        );
        let frame: Frame<'_> = serde_json::from_str(&update).expect("an update");
        assert_eq!(
            (frame.kind.as_ref(), frame.status()),
            ("update", Some("CONFIRMED"))
        );
        assert_eq!(frame.order_id, Some(id.parse().expect("an id")));
        let snapshot = format!(
            r#"{{"type":"snapshot","orderId":"{id}","version":1,"order":{{"status":"PENDING","items":[]}}}}"#
        );
        let frame: Frame<'_> = serde_json::from_str(&snapshot).expect("a snapshot");
        assert_eq!(frame.status(), Some("PENDING"));
        let error: Frame<'_> =
            serde_json::from_str(r#"{"type":"error","problem":{"status":404}}"#).expect("an error");
        assert_eq!(error.status(), None);
    }
}
