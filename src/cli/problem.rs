//! A refusal, formatted for a person.

use trackops_client::Problem;

use super::text::printable;

/// The problem without control characters that a terminal would obey.
pub fn cleaned(mut problem: Problem) -> Problem {
    problem.title = printable(&problem.title);
    problem.detail = printable(&problem.detail);
    for error in &mut problem.errors {
        error.pointer = printable(&error.pointer);
        error.detail = printable(&error.detail);
    }
    problem
}

/// The lines to print below title and detail.
pub fn particulars(problem: &Problem) -> Vec<String> {
    let mut lines: Vec<String> = problem
        .errors
        .iter()
        .map(|error| match error.pointer.as_str() {
            "" => error.detail.clone(),
            pointer => format!("{pointer}: {}", error.detail),
        })
        .collect();
    if let Some(current) = &problem.current_status {
        lines.push(format!("the order is {}", printable(current)));
    }
    match problem.allowed.as_deref() {
        Some([]) => lines.push("no step leads on from there".into()),
        Some(steps) => {
            lines.push(format!("possible now: {}", printable(&steps.join(", "))));
        }
        None => {}
    }
    if problem.status == 401 {
        lines.push(
            "give a key by TRACKOPS_API_KEY or --api-key-file; `trackops keys create` makes one"
                .into(),
        );
    }
    if let Some(seconds) = problem.retry_after_seconds {
        lines.push(format!("try again in {seconds} s"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::failure::CliError;
    use super::*;

    #[test]
    fn a_refused_step_says_what_is_possible() {
        let body = br#"{"type":"/problems/illegal-step","title":"Step not possible","status":409,
            "detail":"an order that is CONFIRMED can't become DELIVERED","code":"illegal-step",
            "instance":"/x","currentStatus":"CONFIRMED","allowed":["PREPARING","CANCELLED"]}"#;
        let problem = Problem::parse(body, 409).expect("a problem");
        let report = CliError::Refused(Box::new(problem)).report();
        assert_eq!(
            report,
            "trackops: Step not possible: an order that is CONFIRMED can't become DELIVERED\n  \
             the order is CONFIRMED\n  possible now: PREPARING, CANCELLED"
        );
    }

    #[test]
    fn fields_are_named_and_terminals_are_safe() {
        let body = br#"{"title":"Fields break rules","status":422,"detail":"two\u001b[2Jthings",
            "errors":[{"pointer":"/items/0/quantity","detail":"must be 1 to 10000"}]}"#;
        let problem = Problem::parse(body, 422).expect("a problem");
        let report = CliError::Refused(Box::new(cleaned(problem))).report();
        assert!(report.ends_with("\n  /items/0/quantity: must be 1 to 10000"));
        assert!(!report.contains('\u{1b}'), "{report:?}");
    }
}
