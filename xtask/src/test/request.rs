//! Reads the arguments of `cargo xtask test` and turns them into runs of cargo. Its parent starts the servers
//! and the runs.

use anyhow::{Result, bail};

use crate::cargo;

/// Unit tests that need a server, by the beginning of their paths. A test that needs one and is missing here
/// fails in a quick run.
const UNIT_SKIPPED: [&str; 3] = [
    "postgres::migrate::tests::a_migration_that_waits",
    "postgres::outbox_plan_tests::",
    "postgres::plan_tests::",
];

/// The same for the integration tests; and those that take minutes.
const IT_SKIPPED: [&str; 18] = [
    "cluster::processes::",
    "cluster::replicas::",
    "contract::cache::",
    "contract::kafka::",
    "contract::postgres",
    "contract::redis_failover::",
    "contract::tokens::",
    "faults::",
    "saga::consumers::",
    "saga::fulfilment::",
    "saga::late_inventory::",
    "scenarios::end_to_end::the_invariants_hold_when_nothing_fails",
    "scenarios::end_to_end::the_roles_serve_every_scenario_on_real_servers",
    "startup::demo_command::",
    "startup::metrics::",
    "startup::shutdown::",
    "startup::start::",
    "upgrade::postgres::",
];

/// The tests that a build with the feature `tls` passes in another way, or alone has.
const TLS_TESTS: [&str; 4] = [
    "config::check::",
    "postgres::url::",
    "redis::settings::",
    "startup::tls::",
];

/// How many seeds the simulation tries without servers: some seconds, instead of a minute.
pub const QUICK_SIM_RUNS: &str = "100";

/// What to test.
#[derive(Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// Everything, with these arguments for `cargo test`.
    Whole(Vec<&'a str>),
    /// Tests whose path has one of these names in it.
    Named(Vec<&'a str>),
    /// What needs no servers; of that only what has one of these names, if there are any.
    Quick(Vec<&'a str>),
    /// What only a build with the feature `tls` can show.
    Tls,
    /// Only what other people's programs make of the documents of the API.
    Contract,
}

/// The tests that start a server of their own by this program.
pub fn own_servers(program: &str) -> &'static [&'static str] {
    match program {
        "java" | "mvn" => &[
            "cluster::processes::servers::shards_move_and_are_taken_over",
            "contract::kafka::a_broker_that_was_fenced",
            "contract::kafka::what_an_outage_leaves_behind",
            "faults::outage::orders_are_placed_while_kafka_is_away",
            "faults::relays::kafka_goes_away_under_load",
        ],
        "postgres" => &[
            "cluster::processes::servers::no_claim_is_lost_or_doubled",
            "faults::outage::a_read_only_postgres",
            "faults::outage::a_standby_is_not_written_to",
            "faults::outage::without_postgres",
            "faults::recovery::",
        ],
        "redis-server" => &[
            "contract::redis_failover::",
            "contract::tokens::a_redis_that_hangs",
            "contract::tokens::without_redis",
            "faults::outage::everything_works_while_redis_is_away",
        ],
        _ => &[],
    }
}

impl<'a> Request<'a> {
    /// Reads the arguments of the command.
    pub fn of(args: &[&'a str]) -> Result<Self> {
        if let ["--", cargo @ ..] = args {
            return Ok(Self::Whole(cargo.to_vec()));
        }
        let (options, names): (Vec<&str>, Vec<&str>) =
            args.iter().partition(|arg| arg.starts_with('-'));
        if args == ["--tls"] {
            return Ok(Self::Tls);
        }
        if args == ["--contract"] {
            return Ok(Self::Contract);
        }
        if let Some(other) = options.iter().find(|option| **option != "--quick") {
            bail!(
                "{other} is not an option of `cargo xtask test` here: it takes `--tls` or `--contract` alone, `--quick` or names of \
                 tests, or `--` followed by arguments for `cargo test`"
            );
        }
        Ok(match (options.is_empty(), names.is_empty()) {
            (true, true) => Self::Whole(names),
            (true, false) => Self::Named(names),
            (false, _) => Self::Quick(names),
        })
    }

    /// The names that were asked for.
    pub fn names(&self) -> &[&'a str] {
        match self {
            Self::Whole(_) | Self::Tls | Self::Contract => &[],
            Self::Named(names) | Self::Quick(names) => names,
        }
    }

    /// The arguments of cargo, one run after the other. `skipped`: tests to leave out of a whole run.
    pub fn runs(&self, skipped: &[&'a str]) -> Vec<Vec<&'a str>> {
        const WORKSPACE: [&str; 3] = ["test", "--workspace", "--no-fail-fast"];
        match self {
            Self::Whole(cargo) => {
                let mut args = [&WORKSPACE, cargo.as_slice()].concat();
                if !skipped.is_empty() && !cargo.contains(&"--") {
                    args.push("--");
                }
                args.extend(skipped.iter().flat_map(|name| ["--skip", name]));
                vec![args]
            }
            // It has no tests of cargo's.
            Self::Contract => Vec::new(),
            Self::Named(names) => vec![[&WORKSPACE, ["--"].as_slice(), names].concat()],
            Self::Tls => {
                let tls = ["--features", cargo::TLS, "--lib", "--test", "it", "--"];
                vec![[&WORKSPACE, tls.as_slice(), &TLS_TESTS].concat()]
            }
            // Apart, because a name that is skipped in one may stand for something else in the other.
            Self::Quick(names) => {
                let run = |targets: &[&'a str], skipped: &[&'a str]| {
                    let skips = skipped.iter().flat_map(|name| ["--skip", name]);
                    let mut args = [&WORKSPACE, targets, &["--"], names].concat();
                    args.extend(skips);
                    args
                };
                vec![
                    run(&["--lib", "--bins"], &UNIT_SKIPPED),
                    run(&["--test", "it"], &IT_SKIPPED),
                ]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of<'a>(args: &[&'a str]) -> Request<'a> {
        Request::of(args).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn names_and_options_are_told_apart() {
        assert_eq!(of(&[]), Request::Whole(vec![]));
        assert_eq!(
            of(&["saga::", "kill"]),
            Request::Named(vec!["saga::", "kill"])
        );
        assert_eq!(of(&["--quick"]), Request::Quick(vec![]));
        assert_eq!(of(&["--tls"]), Request::Tls);
        assert_eq!(of(&["--contract"]), Request::Contract);
        assert_eq!(of(&["rest::", "--quick"]), Request::Quick(vec!["rest::"]));
        let cargo = ["--", "--test", "it", "kill", "--", "--nocapture"];
        assert_eq!(of(&cargo), Request::Whole(cargo[1..].to_vec()));
    }

    #[test]
    fn what_is_for_cargo_is_not_guessed() {
        for wrong in [
            &["--test", "it"][..],
            &["kill", "--", "--nocapture"],
            &["--quik"],
            &["--tls", "kill"],
        ] {
            let error = Request::of(wrong).err().map(|error| error.to_string());
            let option = wrong.iter().find(|arg| arg.starts_with('-'));
            let option = option.copied().unwrap_or_default();
            assert!(
                error.is_some_and(|error| error.starts_with(option)),
                "{wrong:?}"
            );
        }
    }

    #[test]
    fn names_go_to_the_test_programs_and_arguments_to_cargo() {
        let joined = |args: &[&str]| -> Vec<String> {
            let runs = of(args).runs(&[]);
            runs.iter().map(|run| run.join(" ")).collect()
        };
        assert_eq!(joined(&[]), ["test --workspace --no-fail-fast"]);
        assert_eq!(
            joined(&["kill", "saga::"]),
            ["test --workspace --no-fail-fast -- kill saga::"]
        );
        assert_eq!(
            joined(&["--", "--lib", "--", "--nocapture"]),
            ["test --workspace --no-fail-fast --lib -- --nocapture"]
        );
    }

    #[test]
    fn a_whole_run_skips_what_lacks_a_server_of_its_own() {
        let runs = of(&[]).runs(own_servers("redis-server"));
        let expected = ["--", "--skip", "contract::redis_failover::", "--skip"];
        assert_eq!(runs[0][3..7], expected);
        let given = of(&["--", "--", "--nocapture"]).runs(&["faults::"]);
        assert_eq!(given[0][3..], ["--", "--nocapture", "--skip", "faults::"]);
    }

    #[test]
    fn a_quick_run_skips_what_needs_servers() {
        let [unit, it]: [Vec<&str>; 2] = of(&["--quick", "rest::"])
            .runs(&[])
            .try_into()
            .unwrap_or_else(|runs| panic!("two runs: {runs:?}"));
        assert_eq!(unit[3..7], ["--lib", "--bins", "--", "rest::"]);
        assert_eq!(it[3..7], ["--test", "it", "--", "rest::"]);
        assert_eq!(
            it.iter().filter(|arg| **arg == "--skip").count(),
            IT_SKIPPED.len()
        );
        assert!(it.windows(2).any(|pair| pair == ["--skip", "faults::"]));
        // There is a module of that name in the library too.
        assert!(!unit.contains(&"faults::"));
    }
}
