//! The error answers that endpoints have in common, as the OpenAPI document shows them. Which code has
//! which status is in [`super::problem_code`]; the document itself is in [`super::openapi`].

use std::collections::BTreeMap;

use utoipa::IntoResponses;
use utoipa::openapi::path::Operation;
use utoipa::openapi::{Content, Ref, RefOr, ResponseBuilder};

/// What `Host` names another server gets, whatever was asked for.
const MISDIRECTED: (&str, &str) = ("421", "`Host` names another server");

/// What a page of another origin gets that would change something, and a caller who may not do it.
const FOREIGN: (&str, &str) = (
    "403",
    "This caller may not do this (`forbidden`), or a page of another origin may not (`foreign-origin`)",
);

/// What every operation that needs a credential answers to those who have none, or may not use it.
const GUARDED: [(&str, &str); 2] = [
    (
        "401",
        "No valid credential; `WWW-Authenticate` says what is wrong with it",
    ),
    ("403", "This caller may not do this (`forbidden`)"),
];

/// Adds them to `operation`, where it doesn't say so itself.
pub fn guarded(operation: &mut Operation) {
    for (status, response) in problems(&GUARDED) {
        let known = &mut operation.responses.responses;
        known.entry(status).or_insert(response);
    }
}

/// What every operation that limits count answers to those over their limit.
const LIMITED: (&str, &str) = (
    "429",
    "Over a limit (`rate-limited`); see `Retry-After`, `RateLimit` and `RateLimit-Policy`",
);

/// Adds it to `operation`.
pub fn limited(operation: &mut Operation) {
    operation.responses.responses.extend(problems(&[LIMITED]));
}

/// The error answers that every operation has.
pub struct AnyErrors;

/// The error answers of reads.
pub struct ReadErrors;

/// The error answers of what is asked for by a `POST` without a body.
pub struct ActionErrors;

/// The error answers of writes.
pub struct WriteErrors;

impl IntoResponses for AnyErrors {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        problems(&[MISDIRECTED])
    }
}

impl IntoResponses for ActionErrors {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        let mut all = ReadErrors::responses();
        all.extend(problems(&[
            FOREIGN,
            (
                "415",
                "Neither `Content-Type: application/json` nor `Idempotency-Key` nor `Authorization`",
            ),
        ]));
        all
    }
}

impl IntoResponses for ReadErrors {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        problems(&[
            ("400", "A parameter or header can't be understood"),
            ("404", "Not there"),
            MISDIRECTED,
            ("503", "Not available just now; see `Retry-After`"),
        ])
    }
}

impl IntoResponses for WriteErrors {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        problems(&[
            (
                "400",
                "Not JSON, or a parameter or header can't be understood",
            ),
            FOREIGN,
            ("404", "Not there"),
            ("408", "The body took too long to arrive"),
            (
                "409",
                "The present state forbids it; `currentStatus` and `allowed` say what it allows",
            ),
            ("412", "`If-Match` names another version"),
            ("413", "The body is larger than 256 KiB"),
            ("415", "The body is not declared as JSON"),
            MISDIRECTED,
            (
                "422",
                "Fields break rules, or the key was used for another request; see `errors`",
            ),
            ("503", "Not available just now; see `Retry-After`"),
        ])
    }
}

fn problems(all: &[(&str, &str)]) -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
    let problem = |description: &str| {
        let body = Ref::from_schema_name("ProblemBody");
        ResponseBuilder::new()
            .description(description)
            .content("application/problem+json", Content::new(Some(body)))
            .build()
    };
    all.iter()
        .map(|(status, description)| ((*status).to_owned(), problem(description).into()))
        .collect()
}
