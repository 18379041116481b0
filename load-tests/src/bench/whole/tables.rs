//! The tables of the whole system: one of each `trackops`, and one that sets two side by side.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::figures::Figures;
use super::rest::Rest;
use super::subject::{CONNECTIONS, Counted, Subject};
use crate::report::{Grid, Section};
use crate::system::Settings;

const PROCESSES: [&str; 6] = [
    "order",
    "inventory",
    "relay",
    "PostgreSQL",
    "Kafka",
    "Redis",
];

/// Everything of one `trackops`.
pub fn of(subject: &Subject<'_>, counted: &Counted, settings: &Settings) -> Section {
    let figures = &subject.figures;
    let mut section = Section::new(format!("whole system ({} trackops)", subject.label));
    let held = edge(figures, Figures::held);
    let most = edge(figures, Figures::kept_up);
    section.row(
        format!("confirmed with place p99 <= {} ms", settings.p99_ms),
        held.map_or("no rate held".to_owned(), |best| {
            format!("{:.0}/s", best.confirmed_per_second)
        }),
    );
    section.row(
        "most confirmed without falling behind",
        most.map_or("no rate was kept up with".to_owned(), |best| {
            format!("{:.0}/s", best.confirmed_per_second)
        }),
    );
    if let Some(rest) = &subject.rest {
        section.row("at rest", rest.describe());
    }
    section.row(
        "rows",
        format!(
            "{} orders, as many as answers 201; {} of them not CONFIRMED",
            counted.orders, counted.otherwise
        ),
    );
    if let Some(failure) = &subject.failure {
        section.row("STOPPED", failure.clone());
    }
    section.grids = vec![rates(figures), processes(figures), batches(figures)];
    note(&mut section);
    section.data = json!({
        "trackops": subject.label, "held": held, "mostConfirmed": most, "rest": subject.rest,
        "steps": figures, "counted": counted, "failure": subject.failure, "connections": CONNECTIONS,
    });
    section
}

/// Two of them, rate by rate.
pub fn compared(before: &Subject<'_>, this: &Subject<'_>) -> Section {
    let mut section = Section::new("whole system, before / this = ratio");
    let mut grid = Grid::new([
        "rate",
        "CPU µs an order",
        "commits/s",
        "place p99 ms",
        "CONFIRMED p50 ms",
        "CONFIRMED p99 ms",
        "messages a produce",
    ]);
    let mut ratios = BTreeMap::new();
    for old in &before.figures {
        // A rate that was tried again is compared by its first try.
        let is_first = !ratios.contains_key(&old.rate);
        let new = this.figures.iter().find(|new| new.rate == old.rate);
        let (true, Some(new)) = (is_first, new) else {
            continue;
        };
        let messages = |figures: &Figures| figures.messages_per_produce().unwrap_or(f64::NAN);
        grid.line([
            old.rate.to_string(),
            beside(old.cpu_us, new.cpu_us),
            beside(old.commits_per_second, new.commits_per_second),
            beside(old.place.p99_ms, new.place.p99_ms),
            beside(old.confirmed.p50_ms, new.confirmed.p50_ms),
            beside(old.confirmed.p99_ms, new.confirmed.p99_ms),
            beside(messages(old), messages(new)),
        ]);
        ratios.insert(
            old.rate,
            json!({
                "cpu": old.cpu_us / new.cpu_us,
                "commits": old.commits_per_second / new.commits_per_second,
                "placeP99": old.place.p99_ms / new.place.p99_ms,
                "confirmedP50": old.confirmed.p50_ms / new.confirmed.p50_ms,
                "confirmedP99": old.confirmed.p99_ms / new.confirmed.p99_ms,
            }),
        );
    }
    section.grids.push(grid);
    for (name, good) in [
        ("confirmed within the limit of p99", Figures::held as Good),
        ("most confirmed", Figures::kept_up),
    ] {
        let rate = |subject: &Subject<'_>| {
            edge(&subject.figures, good).map_or(f64::NAN, |best| best.confirmed_per_second)
        };
        section.row(name, beside(rate(before), rate(this)));
    }
    if let (Some(before), Some(this)) = (&before.rest, &this.rest) {
        rest(&mut section, before, this);
    }
    section.note("a ratio above 1 says how many times less this one needs, in the two rows of rates how much less it does");
    section.data = json!({"ratios": ratios});
    section
}

type Good = fn(&Figures) -> bool;

fn rest(section: &mut Section, before: &Rest, this: &Rest) {
    for (name, before) in &before.core_percent {
        let this = this.core_percent.get(name).copied().unwrap_or(f64::NAN);
        section.row(
            format!("{name} at rest, % of a core"),
            beside(*before, this),
        );
    }
    section.row(
        "transactions/s at rest",
        beside(before.transactions_per_second, this.transactions_per_second),
    );
}

/// The highest rate that is good.
fn edge(figures: &[Figures], good: Good) -> Option<&Figures> {
    let good = figures.iter().filter(|figures| good(figures));
    good.max_by(|left, right| {
        left.confirmed_per_second
            .total_cmp(&right.confirmed_per_second)
    })
}

fn rates(figures: &[Figures]) -> Grid {
    let mut grid = Grid::new([
        "rate",
        "placed/s",
        "confirmed/s",
        "CPU µs an order",
        "cores busy",
        "stolen",
        "commits/s",
        "place p50 ms",
        "p99",
        "CONFIRMED p50 ms",
        "p99",
        "pending",
        "drained s",
        "",
    ]);
    for each in figures {
        grid.line([
            each.rate.to_string(),
            format!("{:.0}", each.placed_per_second),
            format!("{:.0}", each.confirmed_per_second),
            format!("{:.0}", each.cpu_us),
            format!("{:.2}", each.cores_busy),
            format!("{:.2}", each.cores_stolen),
            format!("{:.0}", each.commits_per_second),
            format!("{:.1}", each.place.p50_ms),
            format!("{:.1}", each.place.p99_ms),
            format!("{:.0}", each.confirmed.p50_ms),
            format!("{:.0}", each.confirmed.p99_ms),
            format!("{:.0}", each.pending[1]),
            each.drained_seconds
                .map_or("NOT".to_owned(), |seconds| format!("{seconds:.1}")),
            each.verdict().to_owned(),
        ]);
    }
    grid
}

/// What each process takes of an order's CPU time.
fn processes(figures: &[Figures]) -> Grid {
    let head = std::iter::once("µs an order").chain(PROCESSES);
    let mut grid = Grid::new(head);
    for each in figures {
        let cell = |name| {
            let us = each.cpu_us_by_process.get(name);
            us.map_or("elsewhere".to_owned(), |us| format!("{us:.0}"))
        };
        grid.line(std::iter::once(each.rate.to_string()).chain(PROCESSES.map(cell)));
    }
    grid
}

/// Messages a produce request, and every mean batch that the roles measure.
fn batches(figures: &[Figures]) -> Grid {
    let names: BTreeSet<&String> = figures
        .iter()
        .flat_map(|each| each.batches.keys())
        .collect();
    let short = |name: &&String| name.trim_start_matches("trackops_").to_owned();
    let head = ["mean".to_owned(), "messages a produce".to_owned()];
    let mut grid = Grid::new(head.into_iter().chain(names.iter().map(short)));
    for each in figures {
        let cell = |mean: Option<f64>| mean.map_or("-".to_owned(), |mean| format!("{mean:.1}"));
        let means = names.iter().map(|name| each.batches.get(*name).copied());
        let first = [each.rate.to_string(), cell(each.messages_per_produce())];
        grid.line(first.into_iter().chain(means.map(cell)));
    }
    grid
}

fn note(section: &mut Section) {
    section.note(format!(
        "open loop over {CONNECTIONS} connections, latency from the intended send time; everything is on this machine"
    ));
    section.note("CONFIRMED: some 50 orders a second, from the intended send time of the POST to the frame on a WebSocket");
    section.note("CPU by /proc, children included, over the orders that were placed and confirmed; cores busy with the load generator's");
    section.note("a produce request is a batch in Kafka's log; commits of both databases by pg_stat_database");
    section.note("held: placed and confirmed as fast as sent, p99 within the limit; p99: only that was missed; behind: the backlog grew, or not all was placed");
}

fn beside(before: f64, this: f64) -> String {
    // Small figures with one digit after the point.
    let digits = usize::from(before.max(this) < 100.0);
    let shown = |figure: f64| {
        if figure.is_nan() {
            "-".to_owned()
        } else {
            format!("{figure:.digits$}")
        }
    };
    let ratio = before / this;
    if ratio.is_finite() {
        format!("{} / {} = {ratio:.2}", shown(before), shown(this))
    } else {
        format!("{} / {}", shown(before), shown(this))
    }
}
