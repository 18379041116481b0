//! The error answers of each operation, as the OpenAPI document shows them: one for each status, with the codes
//! that the operation can have. A handler names its groups of codes and single codes by `refusals!`. Which code has which status
//! is in [`super::problem_code`]; the document itself is in [`super::openapi`].

use std::collections::BTreeMap;

use utoipa::IntoResponses;
use utoipa::openapi::extensions::ExtensionsBuilder;
use utoipa::openapi::path::Operation;
use utoipa::openapi::{Content, Ref, RefOr, Response, ResponseBuilder};

use super::headers;
use super::problem_code::Code;

/// The extension of an error answer that lists its codes.
pub const CODES: &str = "x-problem-codes";

/// What every operation may answer.
pub const EVERY: &[Code] = &[
    Code::BadRequest,
    Code::MisdirectedRequest,
    Code::InternalError,
];

/// What every operation that needs a credential answers to those who have none, or may not use it, or can't be
/// identified just now: because their address has guessed too often, or because keys can't be read.
const GUARDED: &[Code] = &[
    Code::Unauthorized,
    Code::Forbidden,
    Code::RateLimited,
    Code::Unavailable,
];

/// What a page of another origin gets that would change something.
const FOREIGN: &[Code] = &[Code::ForeignOrigin];

/// What a simple `POST` gets, which any page could have a browser send.
const SIMPLE: &[Code] = &[Code::UnsupportedMediaType];

/// Refusals of a parameter in the path or the query.
pub const PARAMETERS: &[Code] = &[Code::InvalidParameter];

/// Refusals of a list.
pub const LIST: &[Code] = &[
    Code::InvalidParameter,
    Code::InvalidCursor,
    Code::Unavailable,
];

/// Refusals of a read of one order.
pub const ORDER: &[Code] = &[
    Code::InvalidParameter,
    Code::OrderNotFound,
    Code::OrderQuarantined,
    Code::OrderRestarted,
    Code::Overloaded,
    Code::Unavailable,
];

/// Refusals of a request to an order that is still to be placed.
pub const ASKED: &[Code] = &[
    Code::OrderQuarantined,
    Code::OrderRestarted,
    Code::Overloaded,
    Code::Unavailable,
];

/// Refusals of a step of an order.
pub const STEP: &[Code] = &[Code::Forbidden, Code::IllegalStep];

/// Refusals where neither `If-Match` nor `If-None-Match` is evaluated, or only one of them.
pub const UNCONDITIONAL: &[Code] = &[Code::ConditionNotSupported];

/// Refusals where `If-Match` or `If-None-Match` is evaluated.
pub const CONDITIONS: &[Code] = &[Code::InvalidHeader];

/// Refusals of a key of a request that may be repeated.
pub const KEY: &[Code] = &[Code::InvalidIdempotencyKey, Code::IdempotencyKeyReused];

/// Refusals of a key where there is nothing to repeat.
pub const UNUSED_KEY: &[Code] = &[Code::InvalidIdempotencyKey];

/// Refusals of a JSON body.
pub const BODY: &[Code] = &[
    Code::MalformedJson,
    Code::UnreadableBody,
    Code::RequestTimeout,
    Code::PayloadTooLarge,
    Code::UnsupportedMediaType,
    Code::ValidationFailed,
];

/// Declares a type that stands in `responses(…)` of a handler for its error answers.
macro_rules! refusals {
    ($name:ident = $($group:ident),* $(; $($code:ident),+)? $(,)?) => {
        /// The error answers of the operation.
        pub struct $name;

        impl utoipa::IntoResponses for $name {
            fn responses() -> std::collections::BTreeMap<
                String,
                utoipa::openapi::RefOr<utoipa::openapi::Response>,
            > {
                use $crate::api::error_answers as groups;
                groups::answers(&[
                    groups::EVERY,
                    $(groups::$group,)*
                    $(&[$($crate::api::problem_code::Code::$code),+],)?
                ])
            }
        }
    };
}
pub(crate) use refusals;

/// What every operation that limits count answers to those over their limit.
const LIMITED: &[Code] = &[Code::RateLimited];

/// Adds the refusal of those over a limit, and to each answer the `RateLimit` fields.
pub fn limited(operation: &mut Operation) {
    add(operation, LIMITED);
    for answer in operation.responses.responses.values_mut() {
        if let RefOr::T(response) = answer {
            for name in ["RateLimit", "RateLimit-Policy"] {
                let header = headers::described(name).into();
                response.headers.insert(name.to_owned(), header);
            }
        }
    }
}

/// The error answers that every operation has.
pub struct AnyErrors;

impl IntoResponses for AnyErrors {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        answers(&[EVERY])
    }
}

/// Adds the refusals of callers, in an operation that `changes` something or doesn't.
pub fn guarded(operation: &mut Operation, changes: bool) {
    add(operation, GUARDED);
    if changes {
        add(operation, FOREIGN);
        if operation.request_body.is_none() {
            add(operation, SIMPLE);
        }
    }
}

/// Adds `more` codes to the answers of `operation`.
pub fn add(operation: &mut Operation, more: &[Code]) {
    let known = &mut operation.responses.responses;
    let all = known.values().flat_map(codes_of);
    let all: Vec<Code> = all.chain(more.iter().copied()).collect();
    known.extend(answers(&[&all]));
}

/// The codes of an error answer.
fn codes_of(response: &RefOr<Response>) -> Vec<Code> {
    let RefOr::T(response) = response else {
        return Vec::new();
    };
    let extensions = response.extensions.as_ref();
    let names = extensions.and_then(|all| all.get(CODES)?.as_array());
    let names = names.into_iter().flatten().filter_map(|name| name.as_str());
    names.filter_map(Code::parse).collect()
}

/// An answer for each status of these codes.
pub fn answers(groups: &[&[Code]]) -> BTreeMap<String, RefOr<Response>> {
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in Code::ALL {
        if groups.iter().any(|group| group.contains(&code)) {
            let status = code.facts().status.as_u16();
            by_status.entry(status).or_default().push(code);
        }
    }
    let all = by_status.into_iter();
    all.map(|(status, codes)| (status.to_string(), answer(&codes).into()))
        .collect()
}

fn answer(codes: &[Code]) -> Response {
    let lines = codes.iter().map(|code| {
        let facts = code.facts();
        format!("`{}`: {}", facts.code, facts.title)
    });
    let body = Ref::from_schema_name("Problem");
    let names: Vec<&str> = codes.iter().map(|code| code.facts().code).collect();
    let mut response = ResponseBuilder::new()
        .description(lines.collect::<Vec<_>>().join("\n\n"))
        .content("application/problem+json", Content::new(Some(body)))
        .extensions(Some(ExtensionsBuilder::new().add(CODES, names).build()));
    for name in headers::of_errors(codes) {
        response = response.header(*name, headers::described(name));
    }
    response.build()
}
