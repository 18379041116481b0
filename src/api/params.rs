//! Path and query parameters. The answer is 400 with the parameter's name if a parameter can't be understood,
//! or has two values where one is allowed. Unknown query keys count as absent, and so do known ones without a
//! value.

use std::borrow::Cow;

use axum::extract::{FromRequestParts, Path};
use axum::http::Uri;
use axum::http::request::Parts;
use trackops_domain::ids::{OrderId, Sku};
use uuid::Uuid;

use super::problem::Problem;
use super::problem_code::Code;

/// The most items of a page.
pub const LIMIT_MAX: u32 = 200;

/// The items of a page if the client doesn't say.
pub const LIMIT_DEFAULT: u32 = 50;

/// The `{id}` of an order's path.
#[derive(Clone, Copy, Debug)]
pub struct OrderPath(pub OrderId);

/// The `{sku}` of an item's path.
#[derive(Clone, Debug)]
pub struct SkuPath(pub Sku);

impl<S: Send + Sync> FromRequestParts<S> for OrderPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = path(parts, state).await?;
        uuid(&text).map(|id| Self(OrderId(id))).ok_or_else(|| {
            invalid("the order id in the path must be a UUID, such as 0190a5c2-7b1e-7cc3-98c4-dc0c0c07398f")
        })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for SkuPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = path(parts, state).await?;
        Sku::parse(&text)
            .filter(Sku::is_addressable)
            .map(Self)
            .ok_or_else(|| {
                invalid(
                    "the SKU in the path must be 1 to 64 visible ASCII characters, and not . or ..",
                )
            })
    }
}

async fn path<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<String, Problem> {
    Path::<String>::from_request_parts(parts, state)
        .await
        .map(|Path(text)| text)
        .map_err(|rejection| invalid(rejection.body_text()))
}

/// A 400 of a parameter.
pub fn invalid(detail: impl Into<String>) -> Problem {
    Problem::new(Code::InvalidParameter, detail)
}

/// Parses a UUID in its hyphenated form, the only one that we give.
pub fn uuid(text: &str) -> Option<Uuid> {
    (text.len() == 36)
        .then(|| Uuid::try_parse(text).ok())
        .flatten()
}

/// The query's parameters. Text that is no escape stands for itself. Bytes that are not UTF-8 are replaced; no
/// value of ours matches the replacement.
pub struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Query<'a> {
    /// The parameters of `uri`.
    pub fn of(uri: &'a Uri) -> Self {
        let query = uri.query().unwrap_or_default();
        Self(form_urlencoded::parse(query.as_bytes()).collect())
    }

    /// The value of `name`; `None` if it is absent or empty. It may occur once only.
    pub fn get(&self, name: &str) -> Result<Option<&str>, Problem> {
        let mut values = self.all(name);
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            _ => Err(invalid(format!("{name} must be given once"))),
        }
    }

    /// The values of `name`, which may be repeated.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let given = self.0.iter().filter(move |(key, _)| key == name);
        given
            .map(|(_, value)| &**value)
            .filter(|value| !value.is_empty())
    }

    /// The page size.
    pub fn limit(&self) -> Result<u32, Problem> {
        let Some(text) = self.get("limit")? else {
            return Ok(LIMIT_DEFAULT);
        };
        text.parse()
            .ok()
            .filter(|limit| (1..=LIMIT_MAX).contains(limit))
            .ok_or_else(|| invalid(format!("limit must be 1 to {LIMIT_MAX}")))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use reqwest::Url;

    use super::*;

    /// The SKU that a server reads from an item's path. In it `sku` is escaped wholly, or only where it must
    /// be (WHATWG URL).
    fn arrives(sku: &str, all: bool) -> Option<String> {
        let keeps = |byte: u8| !all && (byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
        let escape = |byte: u8| match byte {
            byte if keeps(byte) => char::from(byte).to_string(),
            byte => percent_encoding::percent_encode_byte(byte).to_owned(),
        };
        let escaped: String = sku.bytes().map(escape).collect();
        let url = Url::parse(&format!("http://h/items/{escaped}")).expect("a URL");
        let segment = url.path().strip_prefix("/items/")?;
        let decoded = percent_encoding::percent_decode_str(segment).decode_utf8();
        (!segment.contains('/')).then(|| decoded.expect("ASCII").into_owned())
    }

    proptest! {
        #[test]
        fn a_sku_that_is_addressable_arrives(text in "[!-~]{1,64}|[./%2eE\\\\;?#]{1,4}", all in any::<bool>()) {
            let sku = Sku::parse(&text).expect("visible characters");
            let arrived = arrives(&text, all);
            prop_assert_eq!(arrived.as_deref() == Some(&*text), sku.is_addressable(), "{:?}", arrived);
        }
    }

    #[test]
    fn one_value_is_given_once_and_empty_ones_are_none() {
        let uri: Uri = "/x?limit=&a=1&limit=7&status=A&b&status=&status=B&c=1&c=2"
            .parse()
            .expect("a URI");
        let query = Query::of(&uri);
        assert_eq!(query.limit().expect("once"), 7);
        assert_eq!(query.all("status").collect::<Vec<_>>(), ["A", "B"]);
        assert_eq!(query.get("b").expect("none"), None);
        assert!(query.get("c").is_err());
        let uri: Uri = "/x?a=1%2B1+2%3d%C3%A4&b%62=%zz%4&c=%ff"
            .parse()
            .expect("a URI");
        let query = Query::of(&uri);
        assert_eq!(query.get("a").expect("once"), Some("1+1 2=ä"));
        assert_eq!(query.get("bb").expect("once"), Some("%zz%4"));
        assert_eq!(query.get("c").expect("once"), Some("\u{fffd}"));
    }
}
