//! Entity tags (RFC 9110, 8.8.3): an order's is its version in quotes. Conditions that name tags (13.1.1,
//! 13.1.2) are evaluated, or the request is refused; none is ignored. Conditions by date are ignored, as
//! 13.1.3 and 13.1.4 require of a server that gives no modification dates.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use trackops_domain::ids::Version;

use super::problem::Problem;
use super::problem_code::Code;

/// The most tags that one conditional header may name: an order has fewer versions than this.
const TAGS_MAX: usize = 64;

/// The tag of `version`.
pub fn of(version: Version) -> HeaderValue {
    let mut buffer = [b'"'; 12];
    let mut digits = version.0;
    let mut start = buffer.len() - 1;
    loop {
        start -= 1;
        buffer[start] = b'0' + u8::try_from(digits % 10).unwrap_or(0);
        digits /= 10;
        if digits == 0 {
            break;
        }
    }
    // Quotes and digits are always a valid header value.
    HeaderValue::from_bytes(&buffer[start - 1..])
        .unwrap_or_else(|_| HeaderValue::from_static("\"0\""))
}

/// The versions that `If-Match` names by strong comparison; `None` if any version will do (absent, or `*`). A
/// weak tag names no version, nor does one that we never give.
pub fn if_match(headers: &HeaderMap) -> Result<Option<Vec<Version>>, Problem> {
    Ok(match parse(headers, &header::IF_MATCH)? {
        Condition::Absent | Condition::Any => None,
        Condition::Tags(tags) => Some(
            tags.iter()
                .filter(|tag| !tag.weak)
                .filter_map(|tag| u32::try_from(tag.version()?).ok())
                .map(Version)
                .collect(),
        ),
    })
}

/// Refuses a request with `condition`, which this resource doesn't evaluate. Ignoring it would let through
/// what the client meant to prevent.
pub fn refuse(headers: &HeaderMap, condition: &HeaderName) -> Result<(), Problem> {
    if !headers.contains_key(condition) {
        return Ok(());
    }
    let detail = format!("{condition} isn't supported by this method of this resource");
    Err(Problem::new(Code::ConditionNotSupported, detail))
}

/// Refuses both conditions, for a resource that has no entity tag.
pub fn refuse_all(headers: &HeaderMap) -> Result<(), Problem> {
    refuse(headers, &header::IF_MATCH)?;
    refuse(headers, &header::IF_NONE_MATCH)
}

/// Whether `If-None-Match` names `version`, by the weak comparison that RFC 9110 (13.1.2) asks for.
pub fn if_none_match(headers: &HeaderMap, version: Version) -> Result<bool, Problem> {
    Ok(match parse(headers, &header::IF_NONE_MATCH)? {
        Condition::Absent => false,
        Condition::Any => true,
        Condition::Tags(tags) => tags
            .iter()
            .any(|tag| tag.version() == Some(version.0.into())),
    })
}

/// Whether the header `name` names `tag`, by weak comparison.
pub fn is_named(
    headers: &HeaderMap,
    name: &HeaderName,
    tag: &HeaderValue,
) -> Result<bool, Problem> {
    let wanted = take_tag(tag.as_bytes()).map(|(tag, _)| tag.opaque);
    Ok(match parse(headers, name)? {
        Condition::Absent => false,
        Condition::Any => true,
        Condition::Tags(tags) => tags.iter().any(|tag| Some(tag.opaque) == wanted),
    })
}

/// The tags that a conditional header names.
pub enum Named {
    /// `*`.
    Any,
    /// The versions of strong tags, then those of weak ones.
    Versions(Vec<u64>, Vec<u64>),
}

/// The versions that the header `name` names; `None` if it is absent. A tag that we never give names no
/// version.
pub fn named(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Named>, Problem> {
    Ok(match parse(headers, name)? {
        Condition::Absent => None,
        Condition::Any => Some(Named::Any),
        Condition::Tags(tags) => {
            let (weak, strong): (Vec<_>, Vec<_>) = tags.iter().partition(|tag| tag.weak);
            let versions = |tags: Vec<&Tag>| tags.iter().filter_map(|tag| tag.version()).collect();
            Some(Named::Versions(versions(strong), versions(weak)))
        }
    })
}

enum Condition<'a> {
    Absent,
    Any,
    Tags(Vec<Tag<'a>>),
}

struct Tag<'a> {
    weak: bool,
    /// What is between the quotes.
    opaque: &'a [u8],
}

impl Tag<'_> {
    /// The version that it is; `None` for a tag that no resource with versions gives.
    fn version(&self) -> Option<u64> {
        // "07" and "+7" are other tags than "7".
        let canonical = self
            .opaque
            .first()
            .is_some_and(|first| (b'1'..=b'9').contains(first));
        let digits = std::str::from_utf8(self.opaque)
            .ok()
            .filter(|_| canonical)?;
        digits.parse().ok()
    }
}

fn parse<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Condition<'a>, Problem> {
    let malformed = || {
        Problem::new(
            Code::InvalidHeader,
            format!("{name} must be * or a list of entity tags such as \"3\""),
        )
    };
    let mut values = headers.get_all(name).iter();
    let (first, others) = (values.next(), values.next());
    if first.is_some_and(|first| trim(first.as_bytes()) == b"*") && others.is_none() {
        return Ok(Condition::Any);
    }
    let mut tags = Vec::new();
    let mut present = false;
    for value in headers.get_all(name) {
        present = true;
        let mut rest = trim(value.as_bytes());
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix(b",") {
                rest = trim(after);
                continue;
            }
            let (tag, after) = take_tag(rest).ok_or_else(malformed)?;
            tags.push(tag);
            rest = trim(after);
            if tags.len() > TAGS_MAX || !(rest.is_empty() || rest.starts_with(b",")) {
                return Err(malformed());
            }
        }
    }
    match (present, tags.is_empty()) {
        (false, _) => Ok(Condition::Absent),
        (true, true) => Err(malformed()),
        (true, false) => Ok(Condition::Tags(tags)),
    }
}

fn take_tag(text: &[u8]) -> Option<(Tag<'_>, &[u8])> {
    let (weak, rest) = match text.strip_prefix(b"W/") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let rest = rest.strip_prefix(b"\"")?;
    let end = rest.iter().position(|byte| *byte == b'"')?;
    let opaque = &rest[..end];
    let is_etagc = |byte: &u8| *byte == 0x21 || (0x23..=0x7e).contains(byte) || *byte >= 0x80;
    if !opaque.iter().all(is_etagc) {
        return None;
    }
    Some((Tag { weak, opaque }, &rest[end + 1..]))
}

fn trim(text: &[u8]) -> &[u8] {
    text.trim_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        values
            .iter()
            .map(|value| {
                (
                    header::IF_MATCH,
                    HeaderValue::from_str(value).expect("visible"),
                )
            })
            .collect()
    }

    /// What the header names: `any`, the versions, or `malformed`.
    fn versions(values: &[&str]) -> String {
        match if_match(&headers(values)) {
            Ok(None) => "any".into(),
            Ok(Some(all)) => format!("{:?}", all.iter().map(|v| v.0).collect::<Vec<_>>()),
            Err(_) => "malformed".into(),
        }
    }

    #[test]
    fn a_tag_is_the_version_in_quotes() {
        for (version, tag) in [(1, "\"1\""), (10, "\"10\""), (u32::MAX, "\"4294967295\"")] {
            assert_eq!(of(Version(version)), tag);
        }
    }

    #[test]
    fn strong_comparison_ignores_weak_and_foreign_tags() {
        assert_eq!(versions(&[]), "any");
        assert_eq!(versions(&["*"]), "any");
        assert_eq!(versions(&["\"3\""]), "[3]");
        assert_eq!(versions(&["\"3\", W/\"4\" ,\"5\""]), "[3, 5]");
        assert_eq!(versions(&["\"3\"", "\"9\""]), "[3, 9]");
        assert_eq!(versions(&["W/\"3\""]), "[]");
        assert_eq!(versions(&["\"03\", \"+3\", \"abc\", \"\""]), "[]");
        assert_eq!(versions(&["\"99999999999\""]), "[]");
    }

    #[test]
    fn what_is_no_tag_is_refused() {
        for bad in [
            "3",
            "",
            "\"3",
            "\"3\"\"4\"",
            "\"3\" \"4\"",
            "w/\"3\"",
            "\"a b\"",
            "*, \"3\"",
        ] {
            assert_eq!(versions(&[bad]), "malformed", "{bad}");
        }
        assert_eq!(versions(&["\"3\"", "*"]), "malformed");
        assert_eq!(versions(&["*", "*"]), "malformed");
    }
}
