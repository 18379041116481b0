//! The configured limits: how much one caller may ask, how many connections one address may have. Leaves the form
//! of a limit to [`super::rate`].

use serde::Deserialize;

use super::error::ConfigError;
use super::rate::{FORM, Rate};

/// How much one caller, or one address, may have.
#[derive(Clone, Debug, Deserialize)]
pub struct LimitsConfig {
    /// Proxies in front that add to `X-Forwarded-For`.
    pub trusted_proxies: u32,
    /// Connections of one address; 0 for any number.
    pub connections_per_address_max: usize,
    /// A limit of people; empty for the usual one.
    pub limit_place: String,
    /// See [`Self::limit_place`].
    pub limit_write: String,
    /// See [`Self::limit_place`].
    pub limit_read: String,
    /// See [`Self::limit_place`].
    pub limit_subscribe: String,
    /// See [`Self::limit_place`].
    pub limit_positions: String,
    /// A limit of services.
    pub service_limit_place: String,
    /// See [`Self::service_limit_place`].
    pub service_limit_write: String,
    /// See [`Self::service_limit_place`].
    pub service_limit_read: String,
    /// See [`Self::service_limit_place`].
    pub service_limit_subscribe: String,
    /// See [`Self::service_limit_place`].
    pub service_limit_positions: String,
}

/// A limit for each class of requests; `None` for any number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// New orders.
    pub place: Option<Rate>,
    /// Other changes.
    pub write: Option<Rate>,
    /// Reads.
    pub read: Option<Rate>,
    /// Sockets, streams, and orders that a socket follows.
    pub subscribe: Option<Rate>,
    /// Positions of couriers.
    pub positions: Option<Rate>,
}

/// The usual limits of people. A person places few orders, and a screen in a kitchen follows as many as one socket
/// may (`subscriptions_max`) when it comes back. A courier's phone reports each second at most.
const USUAL: [&str; 5] = [
    "30/min burst 10",
    "300/min burst 100",
    "600/min burst 300",
    "1200/min burst 1000",
    "120/min burst 60",
];

const PEOPLE: [&str; 5] = [
    "limit_place",
    "limit_write",
    "limit_read",
    "limit_subscribe",
    "limit_positions",
];
const SERVICES: [&str; 5] = [
    "service_limit_place",
    "service_limit_write",
    "service_limit_read",
    "service_limit_subscribe",
    "service_limit_positions",
];

impl LimitsConfig {
    /// The limits of people and addresses. Where nobody `is_required` to have a credential, only those that are set.
    pub fn people(&self, is_required: bool) -> Rates {
        let usual = |index: usize| if is_required { USUAL[index] } else { "off" };
        let set = self.of_people();
        rates(std::array::from_fn(|index| {
            Some(set[index])
                .filter(|text| !text.is_empty())
                .unwrap_or(usual(index))
        }))
    }

    /// The limits of services, operators and viewers.
    pub fn services(&self) -> Rates {
        rates(self.of_services())
    }

    fn of_people(&self) -> [&str; 5] {
        [
            &self.limit_place,
            &self.limit_write,
            &self.limit_read,
            &self.limit_subscribe,
            &self.limit_positions,
        ]
    }

    fn of_services(&self) -> [&str; 5] {
        [
            &self.service_limit_place,
            &self.service_limit_write,
            &self.service_limit_read,
            &self.service_limit_subscribe,
            &self.service_limit_positions,
        ]
    }

    /// Every limit with its key, in the order of the default file.
    pub(super) fn limits(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let people = PEOPLE.into_iter().zip(self.of_people());
        people.chain(SERVICES.into_iter().zip(self.of_services()))
    }
}

fn rates(texts: [&str; 5]) -> Rates {
    // The configuration is checked before it is used.
    let [place, write, read, subscribe, positions] = texts.map(|text| Rate::parse(text).flatten());
    Rates {
        place,
        write,
        read,
        subscribe,
        positions,
    }
}

/// The rules for limits.
pub(super) fn check(
    limits: &LimitsConfig,
    rule: impl Fn(bool, &'static str, &str) -> Result<(), ConfigError>,
) -> Result<(), ConfigError> {
    // More proxies than that are no chain that anybody runs.
    rule(
        limits.trusted_proxies <= 16,
        "trusted_proxies",
        "must be 0 to 16",
    )?;
    for (key, text) in limits.limits() {
        let is_usual = text.is_empty() && PEOPLE.contains(&key);
        rule(is_usual || Rate::parse(text).is_some(), key, FORM)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Flags};
    use super::*;

    fn config() -> LimitsConfig {
        let config = Config::load(None, &Flags::default());
        config.expect("defaults are valid").limits
    }

    #[test]
    fn open_mode_has_only_the_limits_that_are_set() {
        let mut limits = config();
        assert_eq!(limits.people(false), Rates::default());
        assert_eq!(limits.services(), Rates::default());
        let usual = limits.people(true);
        assert!(usual.place.is_some() && usual.positions.is_some());
        limits.limit_read = "5/min".into();
        let set = limits.people(false);
        assert_eq!(set.read.map(|rate| rate.count), Some(5));
        assert_eq!(set.place, None);
        limits.limit_place = "off".into();
        assert_eq!(limits.people(true).place, None);
    }

    #[test]
    fn a_limit_that_is_none_is_named() {
        for (key, set) in [
            (
                "limit_place",
                (|limits: &mut LimitsConfig| limits.limit_place = "0".into())
                    as fn(&mut LimitsConfig),
            ),
            ("limit_positions", |limits| {
                limits.limit_positions = "60/day".into();
            }),
            ("service_limit_read", |limits| {
                limits.service_limit_read = String::new();
            }),
            ("trusted_proxies", |limits| limits.trusted_proxies = 17),
        ] {
            let mut limits = config();
            set(&mut limits);
            let rule = |holds: bool, key: &'static str, rule: &str| {
                let rule = rule.to_owned();
                if holds {
                    Ok(())
                } else {
                    Err(ConfigError::Rule { key, rule })
                }
            };
            let error = check(&limits, rule).expect_err(key).to_string();
            assert!(
                error.starts_with(key) && error.contains("must be"),
                "{error}"
            );
        }
    }
}
