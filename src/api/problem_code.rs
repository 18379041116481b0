//! The error codes, each with its status and with what a person can do about it. Neither is written anywhere
//! else.
//!
//! Policy: 400 for what can't be read (syntax, path, query, headers), 422 for what was read and breaks a
//! rule, 409 for what the resource's state forbids, 412 for a precondition, 503 with `Retry-After` for a
//! failure that a retry can cure, 500 only for a fault of ours, 501 for methods and transfer codings that no
//! path knows.

use axum::http::StatusCode;

/// A stable error code, as in a problem's `code` and at the end of its `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The body is not JSON in UTF-8.
    MalformedJson,
    /// The body broke off or can't be read.
    UnreadableBody,
    /// A path or query parameter can't be understood.
    InvalidParameter,
    /// The cursor is not one that a list gave.
    InvalidCursor,
    /// A header can't be understood.
    InvalidHeader,
    /// `If-Match` or `If-None-Match` on a resource that doesn't evaluate it.
    ConditionNotSupported,
    /// The `Idempotency-Key` is not 1 to 255 visible ASCII characters.
    InvalidIdempotencyKey,
    /// `Host` names another server.
    MisdirectedRequest,
    /// A page of another origin may not do this.
    ForeignOrigin,
    /// No credential, or none that is valid.
    Unauthorized,
    /// The caller may not do this.
    Forbidden,
    /// No route of that path.
    NotFound,
    /// No such order.
    OrderNotFound,
    /// No such item.
    ItemNotFound,
    /// No such tracking link, or it has ended.
    TrackingLinkNotFound,
    /// The order has no reservation.
    ReservationNotFound,
    /// No such replica.
    NodeNotFound,
    /// No such shard.
    ShardNotFound,
    /// No such API key.
    KeyNotFound,
    /// No such dead letter.
    DeadLetterNotFound,
    /// The path exists, but not with this method.
    MethodNotAllowed,
    /// The client was too slow to send.
    RequestTimeout,
    /// The order's status forbids the step.
    IllegalStep,
    /// A courier's position needs an order that is IN_TRANSIT.
    NotInTransit,
    /// Fewer on hand than are reserved.
    BelowReserved,
    /// The dead letter was too large to be parked whole.
    ContentLeftOut,
    /// `If-Match` names another version.
    PreconditionFailed,
    /// The body is too large.
    PayloadTooLarge,
    /// The body is not declared as JSON.
    UnsupportedMediaType,
    /// Fields break rules or have the wrong type.
    ValidationFailed,
    /// The idempotency key was used for something else.
    IdempotencyKeyReused,
    /// The request needs a protocol upgrade that it doesn't ask for.
    UpgradeRequired,
    /// A live connection follows as many orders as it may.
    TooManySubscriptions,
    /// The caller is over a limit.
    RateLimited,
    /// Any other fault of the request.
    BadRequest,
    /// A fault of ours.
    InternalError,
    /// A method or transfer coding that the server doesn't know.
    NotImplemented,
    /// The order waits for an operator.
    OrderQuarantined,
    /// The order's actor failed under the request.
    OrderRestarted,
    /// Too much to do.
    Overloaded,
    /// A dependency can't be reached.
    Unavailable,
    /// `/readyz`: don't send requests here.
    NotReady,
    /// `/startupz`: still starting.
    NotStarted,
}

/// The fixed facts of a code.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// The HTTP status.
    pub status: StatusCode,
    /// The code on the wire.
    pub code: &'static str,
    /// The problem's title, the same for every occurrence.
    pub title: &'static str,
    /// What a person can do.
    pub advice: &'static str,
}

const fn facts(
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    advice: &'static str,
) -> Facts {
    Facts {
        status,
        code,
        title,
        advice,
    }
}

impl Code {
    /// All codes.
    pub const ALL: [Self; 43] = [
        Self::MalformedJson,
        Self::UnreadableBody,
        Self::InvalidParameter,
        Self::InvalidCursor,
        Self::InvalidHeader,
        Self::ConditionNotSupported,
        Self::InvalidIdempotencyKey,
        Self::MisdirectedRequest,
        Self::ForeignOrigin,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::OrderNotFound,
        Self::TrackingLinkNotFound,
        Self::ItemNotFound,
        Self::ReservationNotFound,
        Self::NodeNotFound,
        Self::ShardNotFound,
        Self::KeyNotFound,
        Self::DeadLetterNotFound,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::IllegalStep,
        Self::NotInTransit,
        Self::BelowReserved,
        Self::ContentLeftOut,
        Self::PreconditionFailed,
        Self::PayloadTooLarge,
        Self::UnsupportedMediaType,
        Self::ValidationFailed,
        Self::IdempotencyKeyReused,
        Self::UpgradeRequired,
        Self::TooManySubscriptions,
        Self::RateLimited,
        Self::BadRequest,
        Self::InternalError,
        Self::NotImplemented,
        Self::OrderQuarantined,
        Self::OrderRestarted,
        Self::Overloaded,
        Self::Unavailable,
        Self::NotReady,
        Self::NotStarted,
    ];

    /// The code of that name on the wire.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.facts().code == name)
    }

    /// The code that fits a bare status, as the router gives it.
    pub fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::NotFound,
            StatusCode::METHOD_NOT_ALLOWED => Self::MethodNotAllowed,
            StatusCode::REQUEST_TIMEOUT => Self::RequestTimeout,
            StatusCode::PAYLOAD_TOO_LARGE => Self::PayloadTooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::UnsupportedMediaType,
            StatusCode::UNPROCESSABLE_ENTITY => Self::ValidationFailed,
            StatusCode::UPGRADE_REQUIRED => Self::UpgradeRequired,
            StatusCode::SERVICE_UNAVAILABLE => Self::Unavailable,
            status if status.is_client_error() => Self::BadRequest,
            _ => Self::InternalError,
        }
    }

    /// Status, name, title and advice.
    #[rustfmt::skip]
    pub const fn facts(self) -> Facts {
        use StatusCode as S;
        match self {
            Self::MalformedJson => facts(S::BAD_REQUEST, "malformed-json", "The body is not JSON",
                "Send one JSON value in UTF-8; the detail says where the parser stopped."),
            Self::UnreadableBody => facts(S::BAD_REQUEST, "unreadable-body", "The body can't be read",
                "The body broke off or its transfer coding is wrong. Send the request again."),
            Self::InvalidParameter => facts(S::BAD_REQUEST, "invalid-parameter", "A parameter can't be understood",
                "Correct the path or query parameter that the detail names."),
            Self::InvalidCursor => facts(S::BAD_REQUEST, "invalid-cursor", "The cursor can't be understood",
                "Use nextCursor of the page before as it is, or leave cursor out to start again."),
            Self::InvalidHeader => facts(S::BAD_REQUEST, "invalid-header", "A header can't be understood",
                "Correct the header that the detail names."),
            Self::ConditionNotSupported => facts(S::BAD_REQUEST, "condition-not-supported", "The condition isn't supported here",
                "Leave the header out that the detail names. To change an order only as it was read, send its ETag in If-Match."),
            Self::InvalidIdempotencyKey => facts(S::BAD_REQUEST, "invalid-idempotency-key", "The Idempotency-Key is not valid",
                "Send one Idempotency-Key of 1 to 255 visible ASCII characters; a UUID will do."),
            Self::MisdirectedRequest => facts(S::MISDIRECTED_REQUEST, "misdirected-request", "This server doesn't answer to that name",
                "Use one of the server's names. An operator adds names by TRACKOPS_ALLOWED_HOSTS."),
            Self::ForeignOrigin => facts(S::FORBIDDEN, "foreign-origin", "A page of another origin may not do this",
                "Call from a page of the same origin. An operator allows others by TRACKOPS_CORS_ALLOWED_ORIGINS."),
            Self::Unauthorized => facts(S::UNAUTHORIZED, "unauthorized", "A valid credential is needed",
                "Send Authorization: Bearer with an API key or an access token; WWW-Authenticate says what is wrong with the one sent."),
            Self::Forbidden => facts(S::FORBIDDEN, "forbidden", "This caller may not do this",
                "Use a credential with a role that may; docs/security.md has the table."),
            Self::NotFound => facts(S::NOT_FOUND, "not-found", "There is nothing at this path",
                "Look for the path in /api/v1/openapi.json."),
            Self::OrderNotFound => facts(S::NOT_FOUND, "order-not-found", "There is no such order",
                "Check the order's id."),
            Self::TrackingLinkNotFound => facts(S::NOT_FOUND, "tracking-link-not-found", "There is no such tracking link",
                "Open the link as it was given. It ends 24 hours after the order's end. Whoever may read the order gets its link by GET /api/v1/orders/{id}/tracking-link, if the operator has set TRACKOPS_TRACKING_KEYS."),
            Self::ItemNotFound => facts(S::NOT_FOUND, "item-not-found", "There is no such item",
                "Check the SKU, or set its stock by PUT."),
            Self::ReservationNotFound => facts(S::NOT_FOUND, "reservation-not-found", "The order has no reservation",
                "Inventory has not heard of this order, or not yet."),
            Self::NodeNotFound => facts(S::NOT_FOUND, "node-not-found", "There is no such replica",
                "Look for the replica's node id in /admin/v1/cluster; one that has stopped is not there."),
            Self::ShardNotFound => facts(S::NOT_FOUND, "shard-not-found", "There is no such shard",
                "Shards are counted from 0; /admin/v1/shards lists all of them."),
            Self::KeyNotFound => facts(S::NOT_FOUND, "key-not-found", "There is no such key",
                "Look for the key's id in /admin/v1/keys."),
            Self::DeadLetterNotFound => facts(S::NOT_FOUND, "dead-letter-not-found", "There is no such dead letter",
                "List the dead letters; old ones are removed by the topic's retention."),
            Self::MethodNotAllowed => facts(S::METHOD_NOT_ALLOWED, "method-not-allowed", "The method is not allowed here",
                "Use one of the methods in the Allow header."),
            Self::RequestTimeout => facts(S::REQUEST_TIMEOUT, "request-timeout", "The request took too long to arrive",
                "Send the request again, on a new connection."),
            Self::IllegalStep => facts(S::CONFLICT, "illegal-step", "The order's status doesn't allow this step",
                "Take one of the steps in allowed, or read the order again."),
            Self::NotInTransit => facts(S::CONFLICT, "not-in-transit", "The order is not in transit",
                "Send positions only while the order is IN_TRANSIT."),
            Self::BelowReserved => facts(S::CONFLICT, "below-reserved", "More is reserved than this",
                "Set onHand to at least what is reserved, or cancel orders first."),
            Self::ContentLeftOut => facts(S::CONFLICT, "content-left-out", "The dead letter has no content",
                "It was too large to be parked whole; its origin says where the message stood, for as long as that topic keeps it."),
            Self::PreconditionFailed => facts(S::PRECONDITION_FAILED, "precondition-failed", "The order has another version",
                "Read the order again, decide again, and send its present ETag."),
            Self::PayloadTooLarge => facts(S::PAYLOAD_TOO_LARGE, "payload-too-large", "The body is too large",
                "Send at most 256 KiB."),
            Self::UnsupportedMediaType => facts(S::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "The body's media type or coding isn't supported",
                "Send Content-Type: application/json, and no Content-Encoding."),
            Self::ValidationFailed => facts(S::UNPROCESSABLE_ENTITY, "validation-failed", "Some fields are not valid",
                "Correct the fields in errors; each pointer is a JSON pointer into the body."),
            Self::IdempotencyKeyReused => facts(S::UNPROCESSABLE_ENTITY, "idempotency-key-reused", "The Idempotency-Key was used for another request",
                "Use a new key for every new request, and the same key only to repeat one."),
            Self::UpgradeRequired => facts(S::UPGRADE_REQUIRED, "upgrade-required", "This path speaks WebSocket",
                "Open it as a WebSocket (RFC 6455)."),
            Self::TooManySubscriptions => facts(S::TOO_MANY_REQUESTS, "too-many-subscriptions", "The connection follows too many orders",
                "Unsubscribe from orders that are done, or open another connection."),
            Self::RateLimited => facts(S::TOO_MANY_REQUESTS, "rate-limited", "Too many requests",
                "Repeat after the seconds in Retry-After, and ask more slowly: RateLimit-Policy says how often."),
            Self::BadRequest => facts(S::BAD_REQUEST, "bad-request", "The request can't be understood",
                "Compare the request with /api/v1/openapi.json."),
            Self::InternalError => facts(S::INTERNAL_SERVER_ERROR, "internal-error", "The server failed",
                "It is a fault of the server and in its log. Repeating with the same Idempotency-Key is safe."),
            Self::NotImplemented => facts(S::NOT_IMPLEMENTED, "not-implemented", "The server doesn't know the method or transfer coding",
                "Use a method of RFC 9110 or PATCH, and no transfer coding but chunked."),
            Self::OrderQuarantined => facts(S::SERVICE_UNAVAILABLE, "order-quarantined", "The order failed again and again and was set aside",
                "An operator looks at /admin/v1/actors/{orderId} and releases it."),
            Self::OrderRestarted => facts(S::SERVICE_UNAVAILABLE, "order-restarted", "The order was started again under the request",
                "Repeat the request with the same Idempotency-Key."),
            Self::Overloaded => facts(S::SERVICE_UNAVAILABLE, "overloaded", "Too many requests are waiting",
                "Repeat after the seconds in Retry-After."),
            Self::Unavailable => facts(S::SERVICE_UNAVAILABLE, "unavailable", "Not available just now",
                "Repeat after the seconds in Retry-After with the same Idempotency-Key."),
            Self::NotReady => facts(S::SERVICE_UNAVAILABLE, "not-ready", "This process doesn't take requests",
                "The checks say what is missing."),
            Self::NotStarted => facts(S::SERVICE_UNAVAILABLE, "not-started", "This process is still starting",
                "Wait; the log says what it waits for."),
        }
    }
}
