//! The headers of answers that the OpenAPI document names, each with its form. Leaves writing them to the
//! handlers.

use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::schema::{Object, Type};
use utoipa::openapi::{Header, ObjectBuilder};

use super::problem_code::Code;
use crate::codec::schema;

/// Which headers are always there in the answers that name them; of `ETag` only in successes.
pub const ALWAYS: [&str; 6] = [
    "ETag",
    "Location",
    "Retry-After",
    "Sec-WebSocket-Version",
    "Upgrade",
    "WWW-Authenticate",
];

/// The headers of the error answer with these codes, which have one status.
pub fn of_errors(codes: &[Code]) -> &'static [&'static str] {
    let Some(first) = codes.first() else {
        return &[];
    };
    match first.facts().status.as_u16() {
        401 => &["WWW-Authenticate"],
        412 => &["ETag"],
        426 => &["Sec-WebSocket-Version", "Upgrade"],
        429 => &["RateLimit", "RateLimit-Policy", "Retry-After"],
        503 if !codes.contains(&Code::NotReady) && !codes.contains(&Code::NotStarted) => {
            &["Retry-After"]
        }
        _ => &[],
    }
}

/// The header `name` as the document describes it.
///
/// # Panics
///
/// If nothing is known of it: that is a fault of the program, and shows in every test of the document.
pub fn described(name: &str) -> Header {
    let (description, form) = match name {
        "Age" => (
            "Seconds that the answer may be old: only while the database is away",
            seconds(0),
        ),
        "Cache-Control" => ("Who may keep the answer, and for how long", text()),
        "ETag" => (
            "Names this version, for `If-Match` and `If-None-Match`",
            pattern(r#"^"[!#-~]+"$"#),
        ),
        "Idempotency-Replayed" => ("Only on the answer to a repeat", schema::one_of(["true"])),
        "Location" => (
            "Where the order is",
            pattern("^/api/v1/orders/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"),
        ),
        "RateLimit" => (
            "How many requests are left (`r`) and the seconds until all are there again (`t`); only under a limit",
            pattern(r#"^"[a-z]+";r=\d+;t=\d+$"#),
        ),
        "RateLimit-Policy" => (
            "How many requests (`q`) in so many seconds (`w`); only under a limit",
            pattern(r#"^"[a-z]+";q=\d+;w=\d+$"#),
        ),
        "Retry-After" => ("Seconds until a repeat makes sense", seconds(1)),
        "Sec-WebSocket-Version" => ("The version that is spoken", schema::one_of(["13"])),
        "Upgrade" => ("The protocol that is spoken", schema::one_of(["websocket"])),
        "WWW-Authenticate" => (
            "What is wrong with the credential (RFC 6750)",
            pattern("^Bearer"),
        ),
        _ => unreachable!("nothing is known of the header {name}"),
    };
    HeaderBuilder::new()
        .description(Some(description))
        .schema(Some(form))
        .build()
}

fn text() -> Object {
    ObjectBuilder::new().schema_type(Type::String).build()
}

fn pattern(pattern: &str) -> Object {
    let builder = ObjectBuilder::new().schema_type(Type::String);
    builder.pattern(Some(pattern)).build()
}

fn seconds(min: i32) -> Object {
    let builder = ObjectBuilder::new().schema_type(Type::Integer);
    builder.minimum(Some(min)).build()
}
