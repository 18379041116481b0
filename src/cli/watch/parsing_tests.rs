//! Whatever comes over a socket is told in one line that is safe on a terminal, or not at all.

use proptest::prelude::*;
use trackops_domain::event::Change;
use trackops_domain::ids::Version;

use super::line::line;
use crate::cli::parsing_tests::is_harmless;
use crate::codec::damaged::{damage, damaged};
use crate::codec::{live, samples};
use crate::model::position::Position;

fn told(text: &[u8]) -> Option<String> {
    line(&serde_json::from_slice(text).ok()?)
}

proptest! {
    #[test]
    fn a_live_message_is_told_in_one_line(damage in damage(), any in any::<String>()) {
        let changes = [Change::Confirmed, Change::Preparing { courier: None }, Change::InTransit { courier: None }];
        let order = samples::order(&changes).0;
        let position = Position { lat: 52.5, lon: 13.4, at: samples::minutes(4) };
        let update = live::update(&order, Version(4)).expect("is there");
        for frame in [live::snapshot(&order, Some(position)), update, live::location(order.id, position)] {
            prop_assert!(told(&frame).is_some_and(|line| is_harmless(&line)));
            for text in [damaged(&frame, &damage), any.clone().into_bytes()] {
                if let Some(line) = told(&text) {
                    prop_assert!(!line.contains('\n') && is_harmless(&line), "{:?}", line);
                }
            }
        }
    }
}
