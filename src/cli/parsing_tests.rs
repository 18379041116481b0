//! Whatever a server or a proxy in between answers is read or taken for nothing, and is safe on a terminal.

use proptest::collection::vec;
use proptest::prelude::*;
use trackops_client::Problem;

use super::failure::CliError;
use super::problem::cleaned;
use super::text::printable;
use crate::codec::damaged::{damage, damaged};

/// Text of several lines that a terminal only shows.
pub(super) fn is_harmless(text: &str) -> bool {
    text.split('\n').all(|line| printable(line) == line)
}

proptest! {
    #[test]
    fn any_answer_is_safe_to_print(
        any in vec(any::<u8>(), 0..60), damage in damage(), texts in vec(any::<String>(), 6..7),
        status in any::<u16>(),
    ) {
        let problem = serde_json::json!({
            "type": texts[0], "title": texts[1], "status": status, "detail": texts[2], "code": texts[3],
            "errors": [{"pointer": texts[4], "detail": texts[5]}],
            "currentStatus": texts[0], "allowed": [texts[1], texts[2]],
        });
        let written = problem.to_string();
        for body in [any, damaged(written.as_bytes(), &damage), written.into_bytes()] {
            if let Some(problem) = Problem::parse(&body, 500) {
                let report = CliError::Refused(Box::new(cleaned(problem))).report();
                prop_assert!(is_harmless(&report), "{:?}", report);
            }
        }
    }
}
