//! The small types of the API's documents that only the API has. The others are in [`crate::codec::schema`].

use trackops_domain::stock::{ON_HAND_MAX, Reservation};
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

use super::problem_code::Code;
use crate::auth::{api_key, role_words};
use crate::codec::schema::{self, documented_type, matching, one_of};
use crate::model::order_answer::ACTOR_STATES;

/// The longest reason of an adjustment, in characters: a line of text.
pub const REASON_CHARS_MAX: usize = 200;

documented_type! {
    /// What went wrong, for programs. More may be added.
    ProblemCode = one_of(Code::ALL.map(|code| code.facts().code));
    /// A path, or a path with what stands before it.
    UriReference = uri_reference();
    /// How many more of an item, or with a minus fewer; not 0.
    StockDelta = delta();
    /// Why stock was adjusted, in a line of text without control characters.
    AdjustmentReason = matching(ONE_LINE, 1, REASON_CHARS_MAX);
    /// Where a reservation stands; `BARRED` if the cancellation came before the order.
    ReservationState = one_of(Reservation::ALL.map(Reservation::as_str));
    /// What an order's actor does.
    ActorState = one_of(ACTOR_STATES);
    /// Whether a link to another replica can be used.
    LinkState = one_of(["up", "connecting", "down"]);
    /// `owned`; `held`: a move is under way and new work waits; `drained`: another may take it at any moment;
    /// `settling`: the replica finds out what became of a lost write; `free`: another's, or nobody's.
    ShardStanding = one_of(["owned", "held", "drained", "settling", "free"]);
    /// What an order waits for of inventory: `release` once it is cancelled.
    SagaAwaits = one_of(["reservation", "release"]);
    /// Whose outbox it is.
    OutboxName = one_of(["orders", "inventory"]);
    /// What a check of readiness has found.
    CheckStatus = one_of(["ready", "degraded", "unready"]);
    /// `degraded`: something is away that requests can do without.
    ReadyStatus = one_of(["ready", "degraded"]);
    /// Of `/livez` it is `alive`, of `/startupz` it is `started`.
    ProcessPhase = one_of(["alive", "started"]);
    /// The public part of an API key.
    ApiKeyId = matching("^[0-9a-f]+$", api_key::ID_CHARS, api_key::ID_CHARS);
    /// Whose an API key is: visible ASCII characters without a colon, and not `anonymous`.
    KeyName = matching("^(?!anonymous$)[!-9;-~]+$", 1, role_words::NAME_BYTES_MAX);
}

/// A character that is neither space nor control, and no control anywhere.
const ONE_LINE: &str = r"^[^\u0000-\u001f\u007f-\u009f]*[^\u0000-\u0020\u007f-\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000][^\u0000-\u001f\u007f-\u009f]*$";

fn uri_reference() -> Object {
    let format = utoipa::openapi::schema::SchemaFormat::Custom("uri-reference".into());
    let builder = ObjectBuilder::new().schema_type(Type::String);
    builder.format(Some(format)).build()
}

fn delta() -> Object {
    let most = i64::try_from(ON_HAND_MAX).unwrap_or(i64::MAX);
    schema::whole(-most, most)
}
