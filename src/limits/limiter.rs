//! Admits requests, or says when to come back. The usual request is paid by a token that is here already, without a
//! call and without an allocation.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use metrics::Counter;
use parking_lot::MutexGuard;
use tokio::time::{Instant, timeout_at};
use trackops_cluster::outage::causes;
use trackops_domain::access::{Caller, Role};

use super::address::Address;
use super::class::Class;
use super::gcra::Pace;
use super::policy::{Policy, Standing};
use super::purse::{Purse, Spent};
use super::table::{Entry, Key, Table, Who};
use crate::config::Rates;
use crate::ports::tokens::{Draw, TokenStore};
use crate::telemetry::names;
use crate::telemetry::repeated::RepeatedLog;

/// The longest that a request waits for a draw. Then it is paid from this replica's share.
const DRAW_WAIT: Duration = Duration::from_millis(50);
/// While the store is away, one draw in this time looks whether it is back.
const PROBE_EVERY_US: u64 = 500_000;

/// How many replicas are alive, this one included.
pub type Replicas = Box<dyn Fn() -> u32 + Send + Sync>;

/// What a limiter is made of.
pub struct Settings {
    /// The limits of people and addresses.
    pub people: Rates,
    /// The limits of services, operators and viewers.
    pub services: Rates,
    /// Where replicas share tokens; without one this process counts for itself.
    pub store: Option<Arc<dyn TokenStore>>,
    /// For the share of this replica while the store is away.
    pub replicas: Replicas,
    /// The longest that a request waits for a draw.
    pub draw_wait: Duration,
}

impl Settings {
    /// Without a store.
    pub fn new(people: Rates, services: Rates) -> Self {
        Self {
            people,
            services,
            store: None,
            replicas: Box::new(|| 1),
            draw_wait: DRAW_WAIT,
        }
    }
}

/// Admits requests. Cheap to clone.
#[derive(Clone)]
pub struct RateLimiter(Arc<Inner>);

struct Inner {
    people: [Option<Arc<Policy>>; 5],
    services: [Option<Arc<Policy>>; 5],
    purses: Table,
    store: Option<Arc<dyn TokenStore>>,
    replicas: Replicas,
    draw_wait: Duration,
    /// 0 while the store answers; else when to look for it again.
    probe_at_us: AtomicU64,
    origin: Instant,
    counts: [Counts; 5],
    draws: Draws,
    troubles: RepeatedLog,
}

struct Counts {
    admitted: Counter,
    limited: Counter,
}

struct Draws {
    granted: Counter,
    empty: Counter,
    failed: Counter,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Admitted(Standing),
    /// It is over the limit.
    Refused(Standing, Duration),
}

/// What is known at once.
pub enum Decision {
    /// Nothing limits such requests.
    Unlimited,
    /// As it says.
    Known(Verdict),
    /// Tokens are being drawn: see [`RateLimiter::settle`].
    Pending(Pending),
}

/// A request that waits for a draw.
pub struct Pending {
    entry: Arc<Entry>,
    policy: Arc<Policy>,
}

impl RateLimiter {
    /// `None` if nothing has a limit.
    pub fn new(settings: Settings) -> Option<Self> {
        let (people, services) = (policies(&settings.people), policies(&settings.services));
        if people.iter().chain(&services).all(Option::is_none) {
            return None;
        }
        let draws = |outcome| metrics::counter!(names::LIMIT_DRAWS, "outcome" => outcome);
        Some(Self(Arc::new(Inner {
            people,
            services,
            purses: Table::new(),
            store: settings.store,
            replicas: settings.replicas,
            draw_wait: settings.draw_wait,
            probe_at_us: AtomicU64::new(0),
            origin: Instant::now(),
            counts: Class::ALL.map(|class| Counts {
                admitted: metrics::counter!(names::RATE_ADMITTED, "class" => class.as_str()),
                limited: metrics::counter!(names::RATE_LIMITED, "class" => class.as_str()),
            }),
            draws: Draws {
                granted: draws("granted"),
                empty: draws("empty"),
                failed: draws("failed"),
            },
            troubles: RepeatedLog::new(),
        })))
    }

    /// Counts a request of `caller`, at `address`, if that is known without a call.
    pub fn admit(&self, class: Class, caller: Option<&Caller>, address: Address) -> Decision {
        let inner = &self.0;
        let is_service = caller.is_some_and(is_service);
        let Some(policy) = inner.policy(class, is_service) else {
            return Decision::Unlimited;
        };
        let who = Who::of(caller, address);
        let entry = inner.purses.entry(&Key {
            class,
            is_service,
            who,
        });
        match self.decide(&entry, policy) {
            Some(verdict) => Decision::Known(inner.counted(verdict)),
            None => Decision::Pending(Pending {
                entry,
                policy: Arc::clone(policy),
            }),
        }
    }

    /// Waits for the draw, but never long.
    pub async fn settle(&self, pending: Pending) -> Verdict {
        let Pending { entry, policy } = pending;
        let end = Instant::now() + self.0.draw_wait;
        loop {
            let mut changed = std::pin::pin!(entry.changed.notified());
            // Before the look, so that no draw ends unseen.
            changed.as_mut().enable();
            if let Some(verdict) = self.decide(&entry, &policy) {
                return self.0.counted(verdict);
            }
            if timeout_at(end, changed).await.is_err() {
                let mut purse = entry.purse.lock();
                let verdict = self.0.by_share(&policy, &mut purse, self.0.now_us());
                drop(purse);
                return self.0.counted(verdict);
            }
        }
    }

    /// Counts a request, and waits for a draw if need be. `None` if nothing limits it.
    pub async fn count(
        &self,
        class: Class,
        caller: Option<&Caller>,
        address: Address,
    ) -> Option<Verdict> {
        match self.admit(class, caller, address) {
            Decision::Unlimited => None,
            Decision::Known(verdict) => Some(verdict),
            Decision::Pending(pending) => Some(self.settle(pending).await),
        }
    }

    /// Whether the next such request from `address`, without a caller, would be refused for all that is known here.
    /// Counts nothing.
    pub fn is_exhausted(&self, class: Class, address: Address) -> bool {
        let inner = &self.0;
        let Some(policy) = inner.policy(class, false) else {
            return false;
        };
        let key = Key {
            class,
            is_service: false,
            who: Who::Address(address),
        };
        let Some(entry) = inner.purses.find(&key) else {
            return false;
        };
        let (now, pace) = (inner.now_us(), policy.pace);
        let mut purse = entry.purse.lock();
        if inner.store.is_none() {
            purse.own().wait_us(pace, now) > 0
        } else if purse.count(now) > 0 {
            false
        } else if inner.probe_at_us.load(Ordering::Relaxed) > 0 {
            purse.own().wait_us(inner.share(policy), now) > 0
        } else {
            purse.shared().wait_us(pace, now) > 0
        }
    }

    /// `None` if a draw has to end first; it is under way then.
    fn decide(&self, entry: &Arc<Entry>, policy: &Arc<Policy>) -> Option<Verdict> {
        let (inner, now) = (&self.0, self.0.now_us());
        let mut purse = entry.purse.lock();
        let Some(store) = &inner.store else {
            return Some(by_pace(policy, policy.pace, &mut purse, now));
        };
        let spent = purse.spend(policy, now);
        if let Spent::Paid { is_short } = spent {
            let standing = policy.standing(purse.shared(), purse.count(now), now);
            if is_short && inner.is_there(now) {
                self.draw(store, entry, policy, purse, now);
            }
            return Some(Verdict::Admitted(standing));
        }
        if inner.probe_at_us.load(Ordering::Relaxed) > 0 {
            let verdict = inner.by_share(policy, &mut purse, now);
            if inner.is_there(now) {
                self.draw(store, entry, policy, purse, now);
            }
            return Some(verdict);
        }
        if let Spent::Refused { wait_us } = spent {
            let standing = policy.standing(purse.shared(), 0, now);
            return Some(Verdict::Refused(standing, Duration::from_micros(wait_us)));
        }
        self.draw(store, entry, policy, purse, now);
        None
    }

    /// Draws in a task of its own, unless a draw is under way.
    fn draw(
        &self,
        store: &Arc<dyn TokenStore>,
        entry: &Arc<Entry>,
        policy: &Arc<Policy>,
        mut purse: MutexGuard<'_, Purse>,
        now: u64,
    ) {
        let Some(wanted) = purse.begin_draw(policy, now) else {
            return;
        };
        drop(purse);
        let draw = Draw {
            bucket: entry.bucket.clone(),
            interval_us: policy.pace.interval_us,
            burst: policy.pace.burst,
            wanted,
        };
        let (inner, store) = (Arc::clone(&self.0), Arc::clone(store));
        let (drawing, policy) = (Drawing(Some(Arc::clone(entry))), Arc::clone(policy));
        tokio::spawn(async move {
            match store.draw(&draw).await {
                Ok(drawn) => {
                    inner.found(drawn.granted);
                    let (share, now) = (inner.share(&policy), inner.now_us());
                    drawing.ended(|purse| {
                        purse.drawn(&policy, share, now, drawn.granted, drawn.full_in_us);
                    });
                }
                Err(error) => {
                    inner.lost(&causes(&error));
                    drop(drawing);
                }
            }
        });
    }
}

impl Inner {
    fn now_us(&self) -> u64 {
        // From 1 on, because 0 stands for no time.
        u64::try_from(self.origin.elapsed().as_micros())
            .unwrap_or(u64::MAX)
            .saturating_add(1)
    }

    fn policy(&self, class: Class, is_service: bool) -> Option<&Arc<Policy>> {
        let policies = if is_service {
            &self.services
        } else {
            &self.people
        };
        policies[class as usize].as_ref()
    }

    fn share(&self, policy: &Policy) -> Pace {
        policy.pace.share((self.replicas)())
    }

    fn by_share(&self, policy: &Arc<Policy>, purse: &mut Purse, now: u64) -> Verdict {
        by_pace(policy, self.share(policy), purse, now)
    }

    fn counted(&self, verdict: Verdict) -> Verdict {
        match &verdict {
            Verdict::Admitted(standing) => {
                self.counts[standing.class() as usize].admitted.increment(1);
            }
            Verdict::Refused(standing, _) => {
                self.counts[standing.class() as usize].limited.increment(1);
            }
        }
        verdict
    }

    /// Whether a draw makes sense now: the store answers, or it is time to look whether it does.
    fn is_there(&self, now: u64) -> bool {
        let probe_at = self.probe_at_us.load(Ordering::Relaxed);
        probe_at == 0
            || (now >= probe_at
                && self
                    .probe_at_us
                    .compare_exchange(
                        probe_at,
                        now + PROBE_EVERY_US,
                        Ordering::Relaxed,
                        Ordering::Relaxed,
                    )
                    .is_ok())
    }

    fn found(&self, granted: u32) {
        if granted == 0 {
            self.draws.empty.increment(1);
        } else {
            self.draws.granted.increment(1);
        }
        if self.probe_at_us.swap(0, Ordering::Relaxed) > 0
            && let Some(recovery) = self.troubles.recovered(Instant::now())
        {
            let lasted = recovery.lasted.as_secs_f64();
            tracing::info!(lasted, "limits are shared again");
        }
    }

    fn lost(&self, error: &str) {
        self.draws.failed.increment(1);
        let next = self.now_us() + PROBE_EVERY_US;
        self.probe_at_us.store(next, Ordering::Relaxed);
        if let Some(repeats) = self.troubles.failed(Instant::now()) {
            let count = repeats.count;
            tracing::warn!(
                error,
                count,
                "limits can't be shared: each replica takes its part"
            );
        }
    }
}

/// Whether the limits of services hold for `caller`.
fn is_service(caller: &Caller) -> bool {
    let role = caller.role();
    !caller.is_anonymous()
        && role.is_none_or(|it| matches!(it, Role::Service | Role::Operator | Role::Viewer))
}

/// Ends a draw, also if its task ends in another way.
struct Drawing(Option<Arc<Entry>>);

impl Drawing {
    fn ended(mut self, change: impl FnOnce(&mut Purse)) {
        if let Some(entry) = self.0.take() {
            change(&mut entry.purse.lock());
            entry.changed.notify_waiters();
        }
    }
}

impl Drop for Drawing {
    fn drop(&mut self) {
        if let Some(entry) = self.0.take() {
            entry.purse.lock().draw_failed();
            entry.changed.notify_waiters();
        }
    }
}

/// Pays from what this process takes by itself.
fn by_pace(policy: &Arc<Policy>, pace: Pace, purse: &mut Purse, now: u64) -> Verdict {
    let spent = purse.spend_share(pace, now);
    let standing = Standing {
        policy: Arc::clone(policy),
        remaining: purse.own().available(pace, now),
        full_in_s: purse.own().until_full_us(pace, now).div_ceil(1_000_000),
    };
    match spent {
        Ok(()) => Verdict::Admitted(standing),
        Err(wait_us) => Verdict::Refused(standing, Duration::from_micros(wait_us)),
    }
}

fn policies(rates: &Rates) -> [Option<Arc<Policy>>; 5] {
    Class::ALL.map(|class| {
        let rate = match class {
            Class::Place => rates.place,
            Class::Write => rates.write,
            Class::Read => rates.read,
            Class::Subscribe => rates.subscribe,
            Class::Positions => rates.positions,
        };
        rate.map(|rate| Policy::new(class, rate))
    })
}

#[cfg(test)]
#[path = "limiter_tests.rs"]
mod tests;
