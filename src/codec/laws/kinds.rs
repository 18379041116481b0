//! Everything that replicas say to one another is drawn by the laws and stands in `tests/fixtures/forms/`. A new kind
//! doesn't compile here before it has a name, and fails here before it has a draw, a line, and an arm that reads it.

use std::collections::BTreeSet;
use std::fmt::Debug;

use proptest::strategy::{Strategy, ValueTree as _};
use proptest::test_runner::TestRunner;
use trackops_domain::command::Command;

use super::arbitrary::{answer, message, request};
use crate::codec::link::{Answer, LinkFormError, Message, Request};
use crate::model::order_answer::OrderAnswer;
use crate::model::order_request::OrderRequest;
use crate::model::orders_error::OrdersError;

const REQUESTS: &str = include_str!("../../../tests/fixtures/forms/link_requests.jsonl");
const ANSWERS: &str = include_str!("../../../tests/fixtures/forms/link_answers.jsonl");
const MESSAGES: &str = include_str!("../../../tests/fixtures/forms/link_messages.jsonl");

/// The rarest kind is one of a hundred draws.
const DRAWS: usize = 2_000;

/// A failure that arrives in the reader's words: it has neither a draw nor a line.
const REWORDED: &str = "failed: in other words";

/// Makes a function that names the kind of a value, and the list of all names.
macro_rules! kinds {
    ($function:ident, $all:ident, $of:ty, $($kind:pat => $name:expr,)*) => {
        const $all: &[&str] = &[$($name),*];

        fn $function(value: &$of) -> &'static str {
            match value {
                $($kind => $name,)*
            }
        }
    };
}

kinds!(asked, ASKED, OrderRequest,
    OrderRequest::Place { .. } => "place",
    OrderRequest::Execute { .. } => "execute",
    OrderRequest::Read { .. } => "read",
    OrderRequest::History { .. } => "history",
    OrderRequest::Locate { .. } => "locate",
    OrderRequest::Inspect { .. } => "inspect",
    OrderRequest::Release { .. } => "release",
);

kinds!(commanded, COMMANDED, Command,
    Command::Advance { .. } => "execute: advance",
    Command::Cancel { .. } => "execute: cancel",
    Command::StockReserved => "execute: stock reserved",
    Command::StockRefused { .. } => "execute: stock refused",
    Command::StockReleased => "execute: stock released",
    Command::DeadlineDue { .. } => "execute: deadline due",
);

kinds!(answered, ANSWERED, OrderAnswer,
    OrderAnswer::Done { .. } => "done",
    OrderAnswer::Read { .. } => "read",
    OrderAnswer::History { .. } => "history",
    OrderAnswer::Located { .. } => "located",
    OrderAnswer::Report { .. } => "report",
    OrderAnswer::Released { .. } => "released",
);

kinds!(failed, FAILED, OrdersError,
    OrdersError::NotFound => "failed: not found",
    OrdersError::Hidden => "failed: hidden",
    OrdersError::Forbidden { .. } => "failed: forbidden",
    OrdersError::Rejected { .. } => "failed: rejected",
    OrdersError::PreconditionFailed { .. } => "failed: precondition",
    OrdersError::KeyReused => "failed: key reused",
    OrdersError::NotInTransit { .. } => "failed: not in transit",
    OrdersError::Quarantined => "failed: quarantined",
    OrdersError::Restarted => "failed: restarted",
    OrdersError::Overloaded { .. } => "failed: overloaded",
    OrdersError::NotOwner => "failed: not the owner",
    OrdersError::LeaseOver => "failed: lease over",
    OrdersError::Broken { .. }
    | OrdersError::Unavailable { .. }
    | OrdersError::OwnerUnavailable { .. } => REWORDED,
);

kinds!(told, TOLD, Message,
    Message::State { .. } => "state",
    Message::Moved { .. } => "moved",
    Message::Unwatch { .. } => "unwatch",
);

type Kinds = BTreeSet<&'static str>;

fn of_request(request: &Request) -> Kinds {
    match request {
        Request::Ask(_, ask) => match ask {
            OrderRequest::Execute(request) => [asked(ask), commanded(&request.command)].into(),
            _ => [asked(ask)].into(),
        },
        Request::Watch(..) => ["watch"].into(),
    }
}

fn of_answer(answer: &Answer) -> Kinds {
    let kind = match answer {
        Answer::Answered(answer) => answered(answer),
        Answer::Failed(error) => failed(error),
        Answer::Order(_) => "order",
        Answer::NotOwner(_) => "not the owner",
        Answer::NotUnderstood(_) => "not understood",
    };
    [kind].into()
}

fn of_message(message: &Message) -> Kinds {
    [told(message)].into()
}

fn all(lists: &[&[&'static str]]) -> Kinds {
    let all = lists.iter().flat_map(|list| list.iter().copied());
    all.filter(|kind| *kind != REWORDED).collect()
}

/// The kinds of many draws.
fn drawn<T: Debug>(values: &impl Strategy<Value = T>, of: fn(&T) -> Kinds) -> Kinds {
    let mut runner = TestRunner::deterministic();
    let draws = (0..DRAWS).flat_map(|_| {
        let draw = values.new_tree(&mut runner).expect("a draw");
        of(&draw.current())
    });
    draws.collect()
}

/// The kinds of `lines`.
fn written<T>(
    lines: &'static str,
    read: fn(&[u8]) -> Result<T, LinkFormError>,
    of: fn(&T) -> Kinds,
) -> Kinds {
    let kinds = lines.lines().flat_map(|line| {
        let value = read(line.as_bytes()).expect(line);
        of(&value)
    });
    kinds.collect()
}

#[test]
fn every_request_is_drawn_and_has_a_line() {
    let all = all(&[ASKED, COMMANDED, &["watch"]]);
    assert_eq!(drawn(&request(), of_request), all);
    assert_eq!(written(REQUESTS, Request::decode, of_request), all);
}

#[test]
fn every_answer_is_drawn_and_has_a_line() {
    let others = ["order", "not the owner", "not understood"];
    let all = all(&[ANSWERED, FAILED, &others]);
    assert_eq!(drawn(&answer(), of_answer), all);
    assert_eq!(written(ANSWERS, Answer::decode, of_answer), all);
}

#[test]
fn every_message_is_drawn_and_has_a_line() {
    let all = all(&[TOLD]);
    assert_eq!(drawn(&message(), of_message), all);
    assert_eq!(written(MESSAGES, Message::decode, of_message), all);
}
