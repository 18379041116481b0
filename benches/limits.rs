//! What a limit costs a request: finding the client's address and its purse, paying, and the header fields of the
//! answer. In one process and without a server, because the usual request makes no call.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, Request};
use trackops::api::counted::Limited;
use trackops::config::{Rate, Rates};
use trackops::limits::{Class, RateLimiter, Settings};
use trackops_domain::access::{Caller, Principal, Role, Subject};
use trackops_domain::ids::CustomerId;
use uuid::Uuid;

/// Requests timed together: reading the clock takes as long as a part of one.
const BATCH: u32 = 16;
const BATCHES: usize = 50_000;
/// Callers in turn, so that not every purse is in the processor's cache.
const CALLERS: u32 = 10_000;
/// The most that half of the requests may take.
const TARGET: Duration = Duration::from_micros(2);

fn main() {
    // Cargo passes options of test harnesses, which mean nothing here.
    let mut is_met = true;
    for (name, burst) in [("admitted", 1_000_000), ("refused", 1)] {
        let limited = limited(burst);
        let callers: Vec<Caller> = (0..CALLERS).map(customer).collect();
        for (by, is_known) in [("principal", true), ("address", false)] {
            let mut number = 0;
            let request = || {
                number = (number + 1) % CALLERS;
                let caller = is_known.then(|| &callers[number as usize]);
                ask(&limited, caller, number);
            };
            is_met &= measured(&format!("{name} by {by}"), request);
        }
    }
    assert!(is_met, "half of the requests take longer than {TARGET:?}");
}

fn limited(burst: u32) -> Limited {
    let rate = Rate {
        count: 1000,
        period_s: 1,
        burst,
    };
    let people = Rates {
        read: Some(rate),
        ..Rates::default()
    };
    let limiter = RateLimiter::new(Settings::new(people, Rates::default()));
    Limited {
        limiter: limiter.expect("reads are limited"),
        proxies: 1,
    }
}

fn customer(number: u32) -> Caller {
    let subject = Subject {
        issuer: "https://id.example".into(),
        name: format!("customer-{number}").into(),
    };
    let id = CustomerId(Uuid::from_u128(number.into()));
    Principal::new(subject, Role::Customer(id)).into()
}

/// What the API does for a request, beside routing and answering it.
fn ask(limited: &Limited, caller: Option<&Caller>, number: u32) {
    let mut request = Request::new(());
    let client = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + number));
    let counted = limited.count(&mut request, Some(client));
    let _ = black_box(counted.admit(Class::Read, caller));
    let mut fields = HeaderMap::new();
    counted.add_fields(&mut fields);
    black_box((request, fields));
}

/// Prints what one request takes; whether half of them take no longer than [`TARGET`].
fn measured(name: &str, mut request: impl FnMut()) -> bool {
    let mut took: Vec<Duration> = (0..BATCHES)
        .map(|_| {
            let begun = Instant::now();
            for _ in 0..BATCH {
                request();
            }
            begun.elapsed() / BATCH
        })
        .collect();
    took.sort_unstable();
    let at = |per_mille: usize| took[BATCHES * per_mille / 1000];
    let (half, most, nearly_all) = (at(500), at(990), at(999));
    println!("{name}: p50 {half:?}, p99 {most:?}, p99.9 {nearly_all:?}");
    half <= TARGET
}
