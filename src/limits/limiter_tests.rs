//! The limiter over a store that answers, fails or hangs, in virtual time.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, AtomicU32};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::time::{advance, sleep};
use trackops_domain::access::{Principal, Subject};
use trackops_domain::ids::CustomerId;
use uuid::Uuid;

use super::*;
use crate::config::Rate;
use crate::limits::Gcra;
use crate::ports::tokens::{Drawn, TokensError};

/// One bucket for all, which may be away, or hang.
struct Store {
    bucket: Mutex<Gcra>,
    origin: Instant,
    draws: AtomicU32,
    is_away: AtomicBool,
    hangs: AtomicBool,
}

impl Store {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            bucket: Mutex::default(),
            origin: Instant::now(),
            draws: AtomicU32::new(0),
            is_away: AtomicBool::new(false),
            hangs: AtomicBool::new(false),
        })
    }
}

#[async_trait]
impl TokenStore for Store {
    async fn draw(&self, draw: &Draw) -> Result<Drawn, TokensError> {
        self.draws.fetch_add(1, Ordering::Relaxed);
        if self.hangs.load(Ordering::Relaxed) {
            // As long as the longest time-out of a store.
            sleep(Duration::from_secs(2)).await;
            return Err(TokensError("it hangs".into()));
        }
        if self.is_away.load(Ordering::Relaxed) {
            return Err(TokensError("it is away".into()));
        }
        tokio::task::yield_now().await;
        let pace = Pace {
            interval_us: draw.interval_us,
            burst: draw.burst,
        };
        let now = u64::try_from(self.origin.elapsed().as_micros()).expect("a short test");
        let mut bucket = self.bucket.lock();
        let granted = bucket.take(pace, now, draw.wanted);
        let full_in_us = bucket.until_full_us(pace, now);
        Ok(Drawn {
            granted,
            full_in_us,
        })
    }
}

/// One a second, twenty at once.
fn reads() -> Rates {
    let rate = Rate {
        count: 60,
        period_s: 60,
        burst: 20,
    };
    Rates {
        read: Some(rate),
        ..Rates::default()
    }
}

fn over(store: Option<Arc<Store>>, replicas: u32) -> RateLimiter {
    let settings = Settings {
        store: store.map(|store| store as _),
        replicas: Box::new(move || replicas),
        ..Settings::new(reads(), Rates::default())
    };
    RateLimiter::new(settings).expect("reads are limited")
}

fn caller(issuer: &str, name: &str, role: Role) -> Caller {
    let subject = Subject {
        issuer: issuer.into(),
        name: name.into(),
    };
    Principal::new(subject, role).into()
}

fn customer(issuer: &str, name: &str) -> Caller {
    caller(issuer, name, Role::Customer(CustomerId(Uuid::nil())))
}

fn here(last: u8) -> Address {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)).into()
}

async fn is_admitted(limiter: &RateLimiter, caller: Option<&Caller>, address: Address) -> bool {
    let verdict = limiter.count(Class::Read, caller, address).await;
    match verdict.expect("reads are limited") {
        Verdict::Admitted(_) => true,
        Verdict::Refused(_, wait) => {
            assert!(wait > Duration::ZERO);
            false
        }
    }
}

/// How many requests are admitted at once.
async fn burst(limiter: &RateLimiter, caller: &Caller) -> u32 {
    let mut admitted = 0;
    while is_admitted(limiter, Some(caller), here(1)).await {
        admitted += 1;
        assert!(admitted < 1000, "there is no limit");
    }
    admitted
}

#[tokio::test(start_paused = true)]
async fn each_caller_and_each_address_has_its_own() {
    let limiter = over(None, 1);
    let (ann, other) = (customer("keys", "ann"), customer("https://id", "ann"));
    assert_eq!(burst(&limiter, &ann).await, 20);
    assert_eq!(burst(&limiter, &other).await, 20, "another issuer's");
    assert_eq!(burst(&limiter, &customer("keys", "bob")).await, 20);
    for address in [here(1), here(2)] {
        for _ in 0..20 {
            assert!(is_admitted(&limiter, None, address).await);
        }
        assert!(!is_admitted(&limiter, None, address).await);
    }
    // Where nobody is known, everybody is an address.
    assert!(!is_admitted(&limiter, Some(&Caller::anonymous()), here(1)).await);
    assert!(is_admitted(&limiter, Some(&Caller::anonymous()), here(3)).await);
}

#[tokio::test(start_paused = true)]
async fn services_and_other_classes_have_their_own_limits() {
    let limiter = over(None, 1);
    for role in [Role::Service, Role::Operator, Role::Viewer] {
        let service = caller("keys", "ann", role);
        let verdict = limiter.count(Class::Read, Some(&service), here(1)).await;
        assert_eq!(verdict, None);
    }
    let ann = customer("keys", "ann");
    assert_eq!(limiter.count(Class::Write, Some(&ann), here(1)).await, None);
    assert!(RateLimiter::new(Settings::new(Rates::default(), Rates::default())).is_none());
}

#[tokio::test(start_paused = true)]
async fn what_is_said_of_the_wait_is_true() {
    for store in [None, Some(Store::new())] {
        let limiter = over(store, 1);
        let ann = customer("keys", "ann");
        burst(&limiter, &ann).await;
        for _ in 0..5 {
            let verdict = limiter.count(Class::Read, Some(&ann), here(1)).await;
            let Some(Verdict::Refused(standing, wait)) = verdict else {
                panic!("over the limit: {verdict:?}");
            };
            assert_eq!((standing.remaining, standing.full_in_s), (0, 20));
            advance(wait.saturating_sub(Duration::from_micros(2))).await;
            assert!(
                !is_admitted(&limiter, Some(&ann), here(1)).await,
                "too early"
            );
            advance(Duration::from_micros(2)).await;
            assert!(is_admitted(&limiter, Some(&ann), here(1)).await);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_leaves_each_replica_its_share() {
    let store = Store::new();
    store.is_away.store(true, Ordering::Relaxed);
    let limiter = over(Some(Arc::clone(&store)), 4);
    let ann = customer("keys", "ann");
    assert_eq!(burst(&limiter, &ann).await, 5, "a fourth of the burst");
    // One in four seconds.
    advance(Duration::from_secs(40)).await;
    let mut admitted = 0;
    for _ in 0..400 {
        admitted += u32::from(is_admitted(&limiter, Some(&ann), here(1)).await);
        advance(Duration::from_millis(100)).await;
    }
    assert!((14..=15).contains(&admitted), "{admitted}");
    let draws = store.draws.load(Ordering::Relaxed);
    assert!(draws <= 100, "{draws} draws while it is away");

    store.is_away.store(false, Ordering::Relaxed);
    advance(Duration::from_micros(PROBE_EVERY_US)).await;
    is_admitted(&limiter, Some(&ann), here(1)).await;
    sleep(Duration::from_millis(1)).await;
    assert_eq!(burst(&limiter, &ann).await, 20, "shared again");
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_long_for_a_store_that_hangs() {
    let store = Store::new();
    store.hangs.store(true, Ordering::Relaxed);
    let limiter = over(Some(Arc::clone(&store)), 2);
    let ann = customer("keys", "ann");
    let begun = Instant::now();
    assert!(is_admitted(&limiter, Some(&ann), here(1)).await);
    assert_eq!(begun.elapsed(), DRAW_WAIT);
    // Once a draw has failed nobody waits at all.
    sleep(Duration::from_secs(3)).await;
    let begun = Instant::now();
    assert!(burst(&limiter, &customer("keys", "bob")).await > 0);
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn those_who_come_together_share_a_draw() {
    let store = Store::new();
    let limiter = over(Some(Arc::clone(&store)), 1);
    let ann = customer("keys", "ann");
    let both = tokio::join!(
        is_admitted(&limiter, Some(&ann), here(1)),
        is_admitted(&limiter, Some(&ann), here(1)),
    );
    assert_eq!(both, (true, true));
    assert_eq!(store.draws.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn tokens_come_before_they_are_needed() {
    let limiter = over(Some(Store::new()), 1);
    let ann = customer("keys", "ann");
    assert!(is_admitted(&limiter, Some(&ann), here(1)).await);
    for _ in 0..10 {
        // The draw runs beside the caller.
        sleep(Duration::from_millis(1)).await;
        let decision = limiter.admit(Class::Read, Some(&ann), here(1));
        assert!(matches!(decision, Decision::Known(Verdict::Admitted(_))));
    }
}

#[tokio::test(start_paused = true)]
async fn an_address_is_known_to_be_exhausted() {
    for store in [None, Some(Store::new())] {
        let limiter = over(store, 1);
        assert!(!limiter.is_exhausted(Class::Read, here(1)));
        while is_admitted(&limiter, None, here(1)).await {
            assert!(!limiter.is_exhausted(Class::Write, here(1)));
        }
        assert!(limiter.is_exhausted(Class::Read, here(1)));
        assert!(!limiter.is_exhausted(Class::Read, here(2)));
        advance(Duration::from_secs(1)).await;
        assert!(!limiter.is_exhausted(Class::Read, here(1)));
    }
}
