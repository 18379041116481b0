//! Stored forms: how those of all versions are read, and what a log that is broken does.

use metrics_exporter_prometheus::PrometheusBuilder;
use trackops_cluster::Epoch;
use trackops_domain::command::Command;

use super::*;

const SAGA: &[u8] = br#"{"v":1,"stock":"requested","askedAgain":0}"#;
/// Every form that any version has stored, in the order in which they came. The first are the oldest.
const EVENTS: &str = include_str!("../../tests/fixtures/forms/stored_events.jsonl");
const SAGAS: &str = include_str!("../../tests/fixtures/forms/stored_sagas.jsonl");

/// A line of [`EVENTS`].
#[derive(Deserialize)]
struct Line {
    status: String,
    data: Box<serde_json::value::RawValue>,
}

/// Every stored event's status and data.
fn stored() -> impl Iterator<Item = (Status, Bytes)> {
    EVENTS.lines().map(|line| {
        let line: Line = serde_json::from_str(line).expect("its form");
        let status = Status::parse(&line.status).expect("a status");
        (status, line.data.get().to_owned().into())
    })
}

fn row(version: u32, status: Status, epoch: i64) -> EventRow {
    let data = match status {
        Status::Pending | Status::Cancelled | Status::Rejected => stored()
            .find(|(stored, _)| *stored == status)
            .map(|(_, data)| data),
        _ => None,
    };
    EventRow {
        version: Version(version),
        epoch: Epoch(epoch),
        at: Timestamp(i64::from(version)),
        by: "test".into(),
        command: CommandId(uuid::Uuid::from_u128(version.into())),
        status,
        data,
    }
}

fn counted(events: &[EventRow]) -> (Order, String) {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let order = metrics::with_local_recorder(&recorder, || {
        let id = OrderId(uuid::Uuid::from_u128(9));
        assemble(id, SAGA, None, events).expect("readable")
    });
    (order, handle.render())
}

#[test]
fn the_first_stored_form_stays_readable() {
    let events = [
        row(1, Status::Pending, 1),
        row(2, Status::Confirmed, 1),
        row(3, Status::Cancelled, 2),
    ];
    let (order, metrics) = counted(&events);
    assert_eq!((order.version(), order.reason()), (Version(3), Some("no")));
    assert_eq!(order.placed.total.0, 1_900);
    assert!(!metrics.contains("violations"), "{metrics}");
}

#[test]
fn what_is_remembered_is_read_with_and_without_its_marks() {
    let id = uuid::Uuid::from_u128(5);
    let old = format!(r#"{{"v":1,"stock":"requested","askedAgain":0,"remembered":[["{id}",1]]}}"#);
    let events = [row(1, Status::Pending, 1)];
    let order = OrderId(uuid::Uuid::from_u128(9));
    let read = |json: &[u8]| assemble(order, json, None, &events).expect("readable");
    let mut known = read(old.as_bytes());
    assert_eq!(known.answered(CommandId(id)), Some(Version(1)));
    let cancel = Command::Cancel {
        reason: "hail".into(),
    };
    assert!(!known.asked_the_same(CommandId(id), &cancel));
    known.remember(CommandId(uuid::Uuid::from_u128(6)), &cancel);
    assert_eq!(read(&saga(&known)), known);
}

#[test]
fn a_broken_log_moves_its_counter() {
    let broken = [
        (
            "I1",
            [row(1, Status::Pending, 1), row(3, Status::Confirmed, 1)],
        ),
        (
            "I2",
            [row(1, Status::Pending, 2), row(2, Status::Confirmed, 1)],
        ),
        (
            "I4",
            [row(1, Status::Pending, 1), row(2, Status::Delivered, 1)],
        ),
    ];
    for (id, events) in broken {
        let (_, metrics) = counted(&events);
        let line = format!("trackops_invariant_violations_total{{invariant=\"{id}\"}} 1");
        assert!(metrics.contains(&line), "{id}: {metrics}");
    }
}

#[test]
fn every_stored_form_is_read_and_written_the_same() {
    let id = OrderId(uuid::Uuid::from_u128(9));
    for (status, data) in stored() {
        let event = event(
            id,
            &EventRow {
                data: Some(data.clone()),
                ..row(1, status, 1)
            },
        );
        let again = change_data(&event.expect("readable").change);
        assert_eq!(again, Some(data));
    }
    for saga in SAGAS.lines() {
        let order = assemble(id, saga.as_bytes(), None, &[row(1, Status::Pending, 1)]);
        let again = super::saga(&order.expect("readable"));
        assert_eq!(String::from_utf8_lossy(&again), saga);
    }
}

#[test]
fn what_a_later_version_adds_is_ignored_and_another_version_is_refused() {
    let id = OrderId(uuid::Uuid::from_u128(9));
    let other = |form: &str, with: &str| form.replacen(r#"{"v":1"#, with, 1);
    let read = |status, data: &str, saga: &str| {
        let mut rows = vec![row(1, Status::Pending, 1)];
        if status != Status::Pending {
            rows.push(row(2, status, 1));
        }
        if let Some(last) = rows.last_mut() {
            last.data = Some(data.to_owned().into());
        }
        assemble(id, saga.as_bytes(), None, &rows)
    };
    let saga = SAGAS.lines().next().expect("a line");
    for (status, data) in stored() {
        let data = std::str::from_utf8(&data).expect("JSON");
        let more = r#"{"later":{"than":[1]},"v":1"#;
        assert_eq!(
            read(status, &other(data, more), &other(saga, more)).expect("readable"),
            read(status, data, saga).expect("readable"),
        );
        for v in ["0", "2", "256", "18446744073709551615"] {
            let with = format!(r#"{{"v":{v}"#);
            let refused = read(status, &other(data, &with), saga).expect_err("refused");
            assert!(
                refused.to_string().starts_with(&format!("version {v} of ")),
                "{refused}"
            );
            let refused = read(status, data, &other(saga, &with)).expect_err("refused");
            assert!(
                refused
                    .to_string()
                    .starts_with(&format!("version {v} of saga")),
                "{refused}"
            );
            // It may have nothing of what this version's has.
            let else_all = format!(r#"{{"v":{v},"all":"else"}}"#);
            let refused = read(status, &else_all, saga).expect_err("refused");
            assert!(
                refused.to_string().starts_with(&format!("version {v} of ")),
                "{refused}"
            );
        }
    }
}
