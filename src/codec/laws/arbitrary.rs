//! Arbitrary valid forms, and mangled ones.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::{Value, json};
use trackops_cluster::Epoch;
use trackops_cluster::directory::Owner;
use trackops_cluster::link::Peer;
use trackops_cluster::membership::{Incarnation, NodeId};
use trackops_domain::access::{Caller, Principal, Role, Subject};
use trackops_domain::command::{Command, HeldUp, Origin};
use trackops_domain::decide::{self, Rejection};
use trackops_domain::event::{Change, OrderEvent};
use trackops_domain::evolve::evolve;
use trackops_domain::ids::{CommandId, CourierId, CustomerId, OrderId, ShopId, Sku, Version};
use trackops_domain::money::{Amount, Currency};
use trackops_domain::order::{Order, Remembered};
use trackops_domain::placed::{Address, Item, Placed, limits};
use trackops_domain::saga::{Saga, Stock};
use trackops_domain::status::Status;
use trackops_domain::time::Timestamp;
use uuid::Uuid;

use crate::codec::link::{Answer, Message, Request, Subscriber};
use crate::codec::view;
use crate::model::order_answer::{ActorReport, Done, History, OrderAnswer, Read};
use crate::model::order_request::{
    CommandRequest, LocateRequest, LocationKey, OrderRequest, PlaceKey, PlaceRequest,
};
use crate::model::orders_error::{Full, OrdersError};
use crate::model::position::Position;

pub(super) fn text(chars_max: usize) -> impl Strategy<Value = Box<str>> {
    let char = any::<char>().prop_filter("storable", |char| *char != '\0');
    vec(char, 1..=chars_max.min(40))
        .prop_map(|chars| format!("x{}", chars.into_iter().collect::<String>()).into())
}

/// Degrees as devices give them, to a billionth (a tenth of a millimetre).
fn degrees(max: i64) -> impl Strategy<Value = f64> {
    const PART: i64 = 1_000_000_000;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    (-max * PART..=max * PART).prop_map(|parts| parts as f64 / PART as f64)
}

pub(super) fn uuid() -> impl Strategy<Value = Uuid> {
    any::<u128>().prop_map(Uuid::from_u128)
}

fn hash() -> impl Strategy<Value = [u8; 32]> {
    any::<[u8; 32]>()
}

/// Any time that a column or a link may hold.
pub(super) fn time() -> impl Strategy<Value = Timestamp> {
    any::<i64>().prop_map(Timestamp)
}

/// Any time that can be written: the years 0000 to 9999.
pub(super) fn written_time() -> impl Strategy<Value = Timestamp> {
    (-62_167_219_200_000..=253_402_300_799_999_i64).prop_map(Timestamp)
}

pub(super) fn position() -> impl Strategy<Value = Position> {
    (degrees(90), degrees(180), written_time()).prop_map(|(lat, lon, at)| Position { lat, lon, at })
}

fn address() -> impl Strategy<Value = Address> {
    let place = option::of((degrees(90), degrees(180)));
    let lines = (
        text(limits::LINE_CHARS_MAX - 1),
        text(limits::LINE_CHARS_MAX - 1),
    );
    let codes = (text(30), option::of(text(30)));
    (lines, codes, place).prop_map(|((street, city), (postal_code, phone), place)| Address {
        street,
        city,
        postal_code,
        country: "DE".into(),
        lat: place.map(|(lat, _)| lat),
        lon: place.map(|(_, lon)| lon),
        phone,
    })
}

pub(super) fn placed() -> impl Strategy<Value = Placed> {
    let item = (
        "[!-.0-~]{3,64}",
        1..=limits::QUANTITY_MAX,
        0..=limits::UNIT_PRICE_MAX,
    );
    let item = item.prop_map(|(sku, quantity, price)| Item {
        sku: Sku::parse(&sku).expect("visible characters"),
        quantity,
        unit_price: Amount(price),
    });
    let currency = prop_oneof![Just("EUR"), Just("JPY")];
    let shop = option::of("[!-~]{1,64}");
    let rest = (uuid(), currency, option::of(text(40)), shop);
    (vec(item, 1..5), address(), rest).prop_map(
        |(items, address, (customer, currency, notes, shop))| Placed {
            customer: CustomerId(customer),
            currency: Currency::parse(currency).expect("a currency"),
            total: Placed::total_of(&items).expect("few items"),
            items: items.into(),
            address,
            instructions: notes,
            shop: shop.map(|shop| ShopId::parse(&shop).expect("visible characters")),
        },
    )
}

/// An order at any step of its life, and its last event.
pub(super) fn order() -> impl Strategy<Value = (Order, OrderEvent)> {
    let step = (
        any::<prop::sample::Index>(),
        written_time(),
        text(20),
        uuid(),
        courier(),
    );
    let known = (uuid(), 1_u32..5, option::of(uuid()));
    let saga = (
        any::<prop::sample::Index>(),
        option::of(time()),
        any::<u32>(),
    );
    let first = (uuid(), placed(), option::of(hash()), written_time());
    (first, vec(step, 0..4), vec(known, 0..3), saga).prop_map(
        |((id, placed, hash, at), steps, known, (stock, deadline, asked_again))| {
            let origin = Origin {
                command: CommandId(id),
                by: "client".into(),
                now: at,
            };
            let mut event = decide::place(OrderId(id), Arc::new(placed), hash, origin);
            let saga = Saga {
                stock: *stock.get(&Stock::ALL),
                deadline,
                asked_again,
            };
            let mut order = Order::from_placed(&event, saga).expect("a first event");
            for (pick, at, reason, command, courier) in steps {
                let next = order.status().steps();
                if next.is_empty() {
                    break;
                }
                event = OrderEvent {
                    order: order.id,
                    version: order.version().next(),
                    at,
                    by: Arc::from(&*reason),
                    command: CommandId(command),
                    change: change(*pick.get(next), reason, courier),
                };
                order = evolve(order, &event);
            }
            order.saga = saga;
            order.remembered = known
                .into_iter()
                .map(|(id, version, asked)| Remembered {
                    command: CommandId(id),
                    version: Version(version),
                    asked,
                })
                .collect();
            (order, event)
        },
    )
}

/// A courier, or none.
fn courier() -> impl Strategy<Value = Option<CourierId>> {
    let name = option::of("[!-~]{1,64}");
    name.prop_map(|name| CourierId::parse(&name?))
}

fn change(to: Status, reason: Box<str>, courier: Option<CourierId>) -> Change {
    match to {
        Status::Confirmed => Change::Confirmed,
        Status::Preparing => Change::Preparing { courier },
        Status::InTransit => Change::InTransit { courier },
        Status::Delivered => Change::Delivered,
        Status::Rejected => Change::Rejected { reason },
        // No step leads to PENDING.
        Status::Cancelled | Status::Pending => Change::Cancelled { reason },
    }
}

fn status() -> impl Strategy<Value = Status> {
    any::<prop::sample::Index>().prop_map(|pick| *pick.get(&Status::ALL))
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        (status(), courier()).prop_map(|(to, courier)| Command::Advance { to, courier }),
        text(40).prop_map(|reason| Command::Cancel { reason }),
        Just(Command::StockReserved),
        text(40).prop_map(|reason| Command::StockRefused { reason }),
        Just(Command::StockReleased),
        (time(), held_up())
            .prop_map(|(deadline, held_up)| Command::DeadlineDue { deadline, held_up }),
    ]
}

fn full() -> impl Strategy<Value = Full> {
    prop_oneof![
        Just(Full::Order),
        Just(Full::Replica),
        Just(Full::Bytes),
        Just(Full::Actors),
        Just(Full::Move),
        Just(Full::Link),
        Just(Full::Watches),
    ]
}

fn held_up() -> impl Strategy<Value = HeldUp> {
    prop_oneof![
        Just(HeldUp::Not),
        Just(HeldUp::Unsent),
        Just(HeldUp::Behind)
    ]
}

fn peer() -> impl Strategy<Value = Peer> {
    (text(20), any::<i64>(), text(20)).prop_map(|(node, incarnation, address)| Peer {
        node: NodeId(node.into()),
        incarnation: Incarnation(incarnation),
        address: address.into(),
    })
}

fn role() -> impl Strategy<Value = Role> {
    let shop = || "[!-~]{1,64}".prop_map(|name| ShopId::parse(&name).expect("visible"));
    let courier = "[!-~]{1,64}".prop_map(|name| CourierId::parse(&name).expect("visible"));
    prop_oneof![
        uuid().prop_map(|id| Role::Customer(CustomerId(id))),
        vec(shop(), 0..3).prop_map(|shops| Role::Kitchen(shops.into())),
        courier.prop_map(Role::Courier),
        Just(Role::Service),
        Just(Role::Operator),
        Just(Role::Viewer),
    ]
}

fn caller() -> impl Strategy<Value = Caller> {
    let principal = (text(20), text(20), role()).prop_map(|(issuer, name, role)| {
        let subject = Subject {
            issuer: issuer.into(),
            name: name.into(),
        };
        Caller::from(Principal::new(subject, role))
    });
    prop_oneof![principal, Just(Caller::Internal("client".into()))]
}

pub(super) fn request() -> impl Strategy<Value = Request> {
    let id = || uuid().prop_map(OrderId);
    let trace = || option::of(text(20).prop_map(Arc::<str>::from));
    let place = (id(), placed(), option::of(hash()), trace(), caller());
    let execute = (id(), uuid(), any::<bool>(), command(), trace());
    let versions = option::of(vec(any::<u32>().prop_map(Version), 0..3));
    let key = option::of((uuid(), hash()).prop_map(|(id, body)| LocationKey {
        id: CommandId(id),
        body,
    }));
    let subscriber = (peer(), any::<u64>()).prop_map(|(peer, number)| Subscriber { peer, number });
    let place = place.prop_map(|(order, content, body, traceparent, caller)| {
        let content = Arc::new(content);
        let request = PlaceRequest {
            content,
            key: body.map(|body| PlaceKey { order, body }),
            caller,
            traceparent,
        };
        Request::Ask(order, OrderRequest::Place(request))
    });
    let internal = text(20).prop_map(|name| Caller::Internal(name.into()));
    let asked = prop_oneof![
        (execute, versions, prop_oneof![caller(), internal]).prop_map(
            |(execute, if_match, caller)| {
                let (order, id, keyed, command, traceparent) = execute;
                OrderRequest::Execute(CommandRequest {
                    order,
                    id: CommandId(id),
                    keyed,
                    caller,
                    if_match,
                    command,
                    traceparent,
                })
            }
        ),
        (id(), caller()).prop_map(|(order, caller)| OrderRequest::Read(order, caller)),
        (id(), caller()).prop_map(|(order, caller)| OrderRequest::History(order, caller)),
        (id(), position(), key, caller()).prop_map(|(order, position, key, caller)| {
            OrderRequest::Locate(LocateRequest {
                order,
                position,
                key,
                caller,
            })
        }),
        id().prop_map(OrderRequest::Inspect),
        id().prop_map(OrderRequest::Release),
    ];
    let asked =
        asked.prop_map(|asked| Request::Ask(asked.order().expect("of a known order"), asked));
    prop_oneof![
        place,
        asked,
        (id(), option::of(subscriber)).prop_map(|(id, to)| Request::Watch(id, to)),
    ]
}

fn orders_error() -> impl Strategy<Value = OrdersError> {
    let wait = || (0..u64::MAX).prop_map(Duration::from_millis);
    prop_oneof![
        Just(OrdersError::NotFound),
        Just(OrdersError::Hidden),
        (status(), status())
            .prop_map(|(current, wanted)| OrdersError::Forbidden { current, wanted }),
        (status(), status())
            .prop_map(|(current, wanted)| OrdersError::Rejected(Rejection { current, wanted })),
        any::<u32>().prop_map(|version| OrdersError::PreconditionFailed {
            current: Version(version)
        }),
        Just(OrdersError::KeyReused),
        status().prop_map(|status| OrdersError::NotInTransit { status }),
        Just(OrdersError::Quarantined),
        Just(OrdersError::Restarted),
        (full(), wait())
            .prop_map(|(full, retry_after)| OrdersError::Overloaded { full, retry_after }),
        Just(OrdersError::NotOwner),
        Just(OrdersError::LeaseOver),
    ]
}

pub(super) fn answer() -> impl Strategy<Value = Answer> {
    let order = || order().prop_map(|(order, _)| Arc::new(order));
    let age = || option::of((0..u64::MAX).prop_map(Duration::from_millis));
    let at = || option::of(position());
    let error = option::of((text(40), time()));
    let report = (any::<u16>(), any::<i64>(), option::of(any::<u32>()), error);
    let owner = (peer(), any::<i64>()).prop_map(|(peer, epoch)| Owner {
        node: peer.node,
        incarnation: peer.incarnation,
        address: peer.address,
        epoch: Epoch(epoch),
    });
    let answered = prop_oneof![
        (order(), any::<bool>(), at()).prop_map(|(order, replayed, position)| {
            OrderAnswer::Done(Done {
                order,
                view: None,
                replayed,
                position,
            })
        }),
        (order(), at(), age()).prop_map(|(order, position, age)| {
            OrderAnswer::Read(Read {
                version: order.version(),
                view: view::render(&order),
                position,
                age,
            })
        }),
        (order(), age()).prop_map(|(order, age)| OrderAnswer::History(History { order, age })),
        any::<bool>().prop_map(|replayed| OrderAnswer::Located { replayed }),
        report.prop_map(|(shard, epoch, version, last_error)| {
            OrderAnswer::Report(ActorReport {
                state: "live",
                shard,
                epoch,
                version: version.map(Version),
                mailbox: 1,
                restarts: 2,
                last_error: last_error.map(|(error, at)| (error.into(), at)),
            })
        }),
        any::<bool>().prop_map(|was_quarantined| OrderAnswer::Released { was_quarantined }),
    ];
    prop_oneof![
        answered.prop_map(Answer::Answered),
        order().prop_map(Answer::Order),
        orders_error().prop_map(Answer::Failed),
        option::of(owner).prop_map(Answer::NotOwner),
        text(40).prop_map(|why| Answer::NotUnderstood(why.into())),
    ]
}

pub(super) fn message() -> impl Strategy<Value = Message> {
    let id = || (uuid().prop_map(OrderId), any::<u64>());
    let state = option::of(order().prop_map(|(order, _)| Arc::new(order)));
    prop_oneof![
        (id(), state, option::of(position())).prop_map(|((order, number), state, position)| {
            Message::State {
                order,
                number,
                state,
                position,
            }
        }),
        id().prop_map(|(order, number)| Message::Moved { order, number }),
        id().prop_map(|(order, number)| Message::Unwatch { order, number }),
    ]
}

/// Any JSON value, to put where another belongs.
pub(super) fn strange() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(json!([[], {}])),
        Just(json!({"v": [1]})),
        Just(json!("9999-12-31T23:59:59.9999999-23:59")),
    ]
}

/// `json` with one of its values replaced by `strange`.
pub(super) fn mangled(json: &[u8], place: prop::sample::Index, strange: Value) -> Bytes {
    fn places(value: &Value, at: &str, all: &mut Vec<String>) {
        all.push(at.into());
        match value {
            Value::Array(values) => {
                for (index, value) in values.iter().enumerate() {
                    places(value, &format!("{at}/{index}"), all);
                }
            }
            Value::Object(fields) => {
                for (name, value) in fields {
                    places(value, &format!("{at}/{name}"), all);
                }
            }
            _ => {}
        }
    }
    let mut value: Value = serde_json::from_slice(json).expect("ours is JSON");
    let mut all = Vec::new();
    places(&value, "", &mut all);
    let place: &String = place.get(&all);
    *value.pointer_mut(place).expect("it is there") = strange;
    value.to_string().into()
}

/// A timestamp at the edges of what the grammar of RFC 3339 admits.
pub(super) fn timestamp_text() -> impl Strategy<Value = String> {
    let year = prop_oneof![Just(0), Just(1), Just(9999), 0..10_000_u32];
    let date = (year, 0..14_u32, 0..33_u32);
    let clock = (0..26_u32, 0..62_u32, 0..62_u32);
    let fraction = prop_oneof![Just(String::new()), "\\.[0-9]{1,12}"];
    let offset = prop_oneof![
        Just("Z".to_owned()),
        Just("+23:59".to_owned()),
        Just("-23:59".to_owned()),
        "[+-][0-2][0-9]:[0-6][0-9]",
    ];
    (date, clock, fraction, offset).prop_map(|((y, mo, d), (h, mi, s), fraction, offset)| {
        format!("{y:04}-{mo:02}-{d:02}T{h:02}:{mi:02}:{s:02}{fraction}{offset}")
    })
}
