//! Whatever a file or a variable says is taken or refused in a line that shows no secret.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use secrecy::SecretString;
use toml::Value;

use super::default_file::{DEFAULT_FILE, SECRETS};
use super::layers::{add_environment, add_text, defaults, known_keys};
use super::values::Config;
use super::{ConfigError, mask};

/// Some value of a variable.
fn variable() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        "[-+]?[0-9]{0,25}",
        Just("0".to_owned()),
        any::<String>(),
        "[a-z]{0,8}(://)?[a-z:@/?&=,.\\[\\]0-9]{0,30}",
    ]
}

fn path() -> &'static std::path::Path {
    std::path::Path::new("trackops.toml")
}

/// The whole of the error, as a log shows it.
fn shown(error: ConfigError) -> String {
    let debug = format!("{error:?}");
    format!("{debug} {:#}", anyhow::Error::new(error))
}

proptest! {
    #[test]
    fn any_variables_make_a_configuration_or_an_error(set in vec((any::<Index>(), variable()), 1..4)) {
        let keys = known_keys();
        let set: Vec<_> = set
            .iter()
            .map(|(key, value)| (format!("TRACKOPS_{}", key.get(&keys).to_ascii_uppercase()), value))
            .collect();
        let mut table = defaults().expect("ours");
        let variable = |name: &str| {
            let given = set.iter().find(|(known, _)| known == name);
            given.map(|(_, value)| (*value).clone())
        };
        match add_environment(&mut table, variable).and_then(|()| Config::of(&table, Vec::new())) {
            Ok(config) => {
                let _ = (config.show(), format!("{config:?}"));
                let _ = (config.orders_database(), config.inventory_database());
                let _ = (config.redis(), config.kafka(), config.replica.name());
                let hour = Duration::from_secs(3600);
                let _ = (config.http.shutdown(hour), config.http.notice());
                let _ = (config.stores.shards_set(), config.orders.saga_stuck_after());
            }
            Err(error) => prop_assert!(!shown(error).contains('\n')),
        }
    }

    #[test]
    fn a_number_at_any_edge_is_taken_or_refused(
        key in any::<Index>(), number in prop_oneof![any::<i64>(), Just(i64::MAX), Just(i64::MIN), Just(0)],
    ) {
        let mut table = defaults().expect("ours");
        let numbers: Vec<String> =
            table.iter().filter(|(_, value)| value.is_integer()).map(|(key, _)| key.clone()).collect();
        let key = key.get(&numbers);
        table.insert(key.clone(), Value::Integer(number));
        if let Err(error) = Config::of(&table, Vec::new()) {
            let error = shown(error);
            prop_assert!(error.contains(key.as_str()), "{}: {}", key, error);
        }
    }

    #[test]
    fn any_file_is_read_or_refused(
        any in any::<String>(), cut in any::<Index>(), put in "[\"'=\\[\\]{}#\n0-9a-z_.-]{0,6}",
        secret in any::<Index>(),
    ) {
        let secret = secret.get(&SECRETS);
        let ours = format!("{DEFAULT_FILE}\n").replace(
            &format!("\n{secret} = \"\""),
            &format!("\n{secret} = \"hunter2\""),
        );
        prop_assert!(ours.contains("hunter2"), "{}", secret);
        let mut cut = cut.index(ours.len());
        while !ours.is_char_boundary(cut) {
            cut -= 1;
        }
        let (before, after) = ours.split_at(cut);
        for text in [format!("{before}{put}{after}"), before.to_owned(), any] {
            let mut table = defaults().expect("ours");
            if let Err(error) = add_text(&mut table, path(), &text) {
                prop_assert!(!shown(error).contains("hunter2"));
            }
        }
    }

    #[test]
    fn a_password_is_never_shown(
        scheme in "(postgres|redis|rediss|POSTGRES|kafka|x)(://|:|//)?", user in "[a-z:@/?#%]{0,4}",
        password in "[A-Z]{6}", junk in "[!-~]{0,2}", rest in "[a-z@:/?&=.,\\[\\]]{0,12}", any in any::<String>(),
    ) {
        let url = format!("{scheme}{user}:{junk}{password}{junk}@{rest}");
        let secret = SecretString::from(url.clone());
        let shown = mask::masked(&secret);
        prop_assert!(!shown.contains(&*password), "{}: {}", url, shown);
        let hosts = mask::brokers(&secret);
        prop_assert!(!hosts.contains(&*password), "{}: {}", url, hosts);
        let any = SecretString::from(any);
        let _ = (mask::masked(&any), mask::brokers(&any));
    }
}
