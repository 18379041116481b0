//! The path of a request as it may be shown: in logs, in the audit and in problems. A tracking link's token is a
//! credential, so it is in none of them.

use percent_encoding::percent_decode_str;

/// `path` without the token of a tracking link and all that follows. A link that was typed by hand in other letters, with
/// a slash too many or with letters in percent-encoding still has a token in it.
pub fn shown_path(path: &str) -> &str {
    let mut at = 0;
    let mut names = path.split('/').filter_map(|name| {
        let end = at + name.len();
        at = end + 1;
        (!name.is_empty()).then_some((name, end))
    });
    // The end of the next name, if it is one of those.
    let mut next = |expected: &[&'static str]| {
        let (name, end) = names.next()?;
        let found = expected.iter().find(|word| is_word(name, word))?;
        Some((*found, end))
    };
    let link = match next(&["track", "api"]) {
        Some(("api", _)) => next(&["v1"]).and_then(|_| next(&["tracking", "track"])),
        first => first,
    };
    link.map_or(path, |(_, end)| &path[..end])
}

/// Whether `name`, decoded, is `word` in any letters.
fn is_word(name: &str, word: &str) -> bool {
    let letters = percent_decode_str(name).map(|byte| byte.to_ascii_lowercase());
    letters.eq(word.bytes())
}

#[cfg(test)]
mod tests {
    use super::shown_path;

    #[test]
    fn the_token_of_a_link_is_shown_nowhere() {
        for (path, shown) in [
            ("/api/v1/tracking/SECRET", "/api/v1/tracking"),
            ("/api/v1/tracking/SECRET/events", "/api/v1/tracking"),
            ("/api/v1/tracking/SECRET/", "/api/v1/tracking"),
            ("/api/v1/tracking/a/SECRET", "/api/v1/tracking"),
            ("/api/v1/track/SECRET", "/api/v1/track"),
            ("/track/SECRET", "/track"),
            ("/track/SECRET/app.js", "/track"),
            ("//track//SECRET", "//track"),
            ("/api//v1/tracking/SECRET", "/api//v1/tracking"),
            ("/Track/SECRET", "/Track"),
            ("/API/V1/Tracking/SECRET", "/API/V1/Tracking"),
            ("/api/v1/%74racking/SECRET", "/api/v1/%74racking"),
            (
                "/%61pi/v%31/%54rackin%67/SECRET",
                "/%61pi/v%31/%54rackin%67",
            ),
            ("/tr%61ck/SECRET", "/tr%61ck"),
        ] {
            assert_eq!(shown_path(path), shown);
        }
    }

    #[test]
    fn another_path_is_shown_whole() {
        for path in [
            "",
            "*",
            "/",
            "//",
            "/api/v1",
            "/api/v1/track",
            "/api/v1/tracking",
            "/track",
            "/tracks/1",
            "/api/v1/orders/0190a5c2-7b1e-7cc3-98c4-dc0c0c07398f/tracking-link",
            "/api/v1/inventory/items/track/adjustments",
            "/admin/v1/track/x",
            "/docs/track/x",
            "/%2574rack/x",
            "/trac%/x",
        ] {
            assert_eq!(shown_path(path), path);
        }
    }
}
