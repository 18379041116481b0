//! The parameters of the OpenAPI document. Each stands here once, with the bounds that its reader checks
//! ([`super::params`], [`super::request_headers`], [`super::etag`], [`super::cursor`]).

use trackops_domain::ids::ShopId;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn, ParameterStyle};
use utoipa::openapi::schema::{KnownFormat, Object, SchemaFormat, Type};
use utoipa::openapi::{ArrayBuilder, ObjectBuilder, Ref, RefOr, Required, Schema};
use utoipa::{IntoParams, PartialSchema as _};

use super::cursor;
use super::params::{LIMIT_DEFAULT, LIMIT_MAX};
use super::request_headers::KEY_BYTES_MAX;
use super::schemas::{ApiKeyId, ProblemCode};
use crate::codec::schema::{self, OrderStatus, SkuName, TopicName};
use crate::ports::journal::LIST_SHOPS_MAX;

/// A type for `params(…)` of a handler.
macro_rules! parameters {
    ($($name:ident = $place:ident $wire:literal, $description:expr, $schema:expr;)*) => {$(
        #[doc = concat!("The parameter `", $wire, "`.")]
        #[derive(Clone, Copy, Debug)]
        pub enum $name {}

        impl IntoParams for $name {
            fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
                let schema: RefOr<Schema> = $schema.into();
                vec![parameter($wire, ParameterIn::$place, $description, schema)]
            }
        }
    )*};
}

parameters! {
    OrderId = Path "id", "The order", uuid();
    OrderIdOfPath = Path "orderId", "The order", uuid();
    SkuOfPath = Path "sku", "The stock keeping unit", SkuName::schema();
    KeyId = Path "id", "The public part of the key", ApiKeyId::schema();
    NodeId = Path "node", "The node id", schema::matching("^[^/]+$", 1, 64);
    ShardNumber = Path "n", "The shard's number, from 0", integer(0, u16::MAX.into(), KnownFormat::Int32);
    LetterTopic = Path "topic", "The topic, without `.dlq`", reference::<TopicName>();
    LetterPartition = Path "partition", "Partition of the dead-letter topic", integer(0, i32::MAX.into(), KnownFormat::Int32);
    LetterOffset = Path "offset", "Offset there", integer(0, i64::MAX, KnownFormat::Int64);
    CodeOfPath = Path "code", "The `code` of a problem", reference::<ProblemCode>();
    Token = Path "token", "What stands after `/track/` in the link", schema::matching("^[A-Za-z0-9_-]+$", 1, 128);

    Statuses = Query "status", "Only of this status; repeated (`status=PENDING&status=CONFIRMED`), of any of these",
        ArrayBuilder::new().items(reference::<OrderStatus>()).build();
    CustomerId = Query "customerId", "Only of this customer", uuid();
    Shops = Query "shopId",
        format!("Only of this shop; repeated (`shopId=north&shopId=south`, at most {LIST_SHOPS_MAX} times), of any of these"),
        ArrayBuilder::new().items(schema::visible_ascii(ShopId::BYTES_MAX)).max_items(Some(LIST_SHOPS_MAX)).build();
    Topic = Query "topic", "Only of this topic, without `.dlq`", reference::<TopicName>();
    SagaState = Query "state", "`stuck`: only those that wait for too long, or whose deadline passes without effect",
        schema::one_of(["stuck"]);
    Cursor = Query "cursor", "`nextCursor` of the page before", schema::matching("^([0-9a-f]{2})+$", 2, cursor::CHARS_MAX);
    Limit = Query "limit", format!("The most items of the page; {LIMIT_DEFAULT} unless given"), limit();
    Since = Query "since", "The version that the client has, where no header can be sent", version();

    IfMatch = Header "If-Match", "Only if the resource has one of these `ETag`s, or with `*` if there is one", tags();
    IfNoneMatch = Header "If-None-Match", "Only if the resource has none of these `ETag`s, or with `*` if there is none", tags();
    IdempotencyKey = Header "Idempotency-Key",
        "Names the request, so that a repeat changes nothing and gets the first answer again",
        schema::visible_ascii(KEY_BYTES_MAX);
    LastEventId = Header "Last-Event-ID", "The version that the client has", version();
}

fn parameter(
    name: &str,
    place: ParameterIn,
    description: impl Into<String>,
    schema: RefOr<Schema>,
) -> Parameter {
    let is_list = matches!(&schema, RefOr::T(Schema::Array(_)));
    let required = if place == ParameterIn::Path {
        Required::True
    } else {
        Required::False
    };
    ParameterBuilder::new()
        .name(name)
        .style(is_list.then_some(ParameterStyle::Form))
        .explode(is_list.then_some(true))
        .parameter_in(place)
        .required(required)
        .description(Some(description))
        .schema(Some(schema))
        .build()
}

fn reference<T: utoipa::ToSchema>() -> Ref {
    Ref::from_schema_name(T::name())
}

fn uuid() -> Object {
    let format = SchemaFormat::KnownFormat(KnownFormat::Uuid);
    let builder = ObjectBuilder::new().schema_type(Type::String);
    builder.format(Some(format)).build()
}

fn integer(min: i64, max: i64, format: KnownFormat) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(format)))
        .minimum(Some(min))
        .maximum(Some(max))
        .build()
}

fn version() -> Object {
    integer(0, u32::MAX.into(), KnownFormat::Int64)
}

fn limit() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int32)))
        .minimum(Some(1))
        .maximum(Some(i64::from(LIMIT_MAX)))
        .default(Some(LIMIT_DEFAULT.into()))
        .build()
}

/// `*`, or entity tags between commas (RFC 9110, 8.8.3 and 13.1.1).
fn tags() -> Object {
    const TAG: &str = r#"(W/)?"[!#-~]*""#;
    let pattern = format!(r"^(\*|{TAG}( *, *{TAG})*)$");
    ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some(pattern))
        .min_length(Some(1))
        .examples(["\"3\""])
        .build()
}
