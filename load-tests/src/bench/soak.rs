//! Hours of orders at a moderate rate on the whole system, each all the way to DELIVERED, while the memory and the
//! descriptors of every role are watched: does anything grow that a short run doesn't show?

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use serde_json::json;

use super::checks::{ensure_no_violation, outbox_drained};
use super::lifecycle::{Journeys, start_all};
use crate::report::{Grid, Section};
use crate::system::{Databases, Deployment, Redis, Role, Settings, open_files};

/// Orders a second, a tenth of what a small machine delivers: nothing waits, so what grows leaks.
const RATE: u32 = 50;
/// Orders under way at most. At this rate a few are.
const UNDER_WAY_MAX: usize = 256;
/// How often the roles are looked at, if the run is long enough for many looks.
const LOOK_EVERY: Duration = Duration::from_mins(1);
const LOOKS_MIN: u32 = 20;
/// This part of the run fills pools, caches and the allocator's reserves.
const WARM_UP_PART: usize = 4;
/// What a role may take later beyond its most in that part: the allocator gives pages back in its own time.
const GROWTH_PERCENT_MAX: u64 = 20;
const GROWTH_MIB_MAX: u64 = 16;
/// Connections to servers come and go a few at a time.
const GROWTH_DESCRIPTORS_MAX: usize = 16;
/// The cache of so many orders would take the memory that everything else is in.
const REDIS_BYTES_MAX: u64 = 1024 * 1024 * 1024;
const DRAIN_MAX: Duration = Duration::from_mins(2);

const MIB: u64 = 1024 * 1024;

/// One role at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Use {
    resident_mib: u64,
    descriptors: usize,
}

/// All roles at one moment.
#[derive(Clone, Debug, Serialize)]
struct Look {
    at_seconds: f64,
    roles: Vec<Use>,
}

/// Runs it once, for as long as `--minutes` or `--hours` says.
pub async fn run(settings: &Settings, databases: &Databases) -> Result<Vec<Section>> {
    let redis = Redis::parse(&settings.redis()?)?;
    let limit_before = redis.limit_memory(REDIS_BYTES_MAX).await?;
    let section = soak(settings, databases).await;
    redis.limit_memory(limit_before).await?;
    Ok(vec![section?])
}

async fn soak(settings: &Settings, databases: &Databases) -> Result<Section> {
    let deployment = Deployment::create(settings, databases, "soak").await?;
    let roles = start_all(&deployment, &[]).await?;
    let journeys = Journeys::connect(roles[0].public).await?;
    let time = settings.soaked();
    let count = u64::from(RATE) * time.as_secs();
    let load = journeys.travel(RATE, count, UNDER_WAY_MAX);
    // What fails first ends both.
    let (travelled, looks) = tokio::try_join!(load, watch(time, &roles))?;
    journeys.close().await?;
    let drained = outbox_drained(&deployment, DRAIN_MAX).await?;
    ensure!(
        drained.is_some(),
        "the outbox was not empty {DRAIN_MAX:?} after the last order"
    );
    let all: Vec<_> = roles.iter().collect();
    ensure_no_violation(&all).await?;
    let names: Vec<String> = roles.iter().map(|role| role.name.clone()).collect();
    for role in roles {
        role.stop().await?;
    }
    deployment.forget_keys().await?;
    for (number, name) in names.iter().enumerate() {
        let uses: Vec<Use> = looks.iter().map(|look| look.roles[number]).collect();
        ensure_flat(&uses).with_context(|| format!("{name} leaks"))?;
    }
    let mut section = Section::new("soak: the whole system for hours");
    section.row(
        "delivered",
        format!("{} orders, {:.0}/s", travelled.count, travelled.per_second),
    );
    section.latency("POST to DELIVERED", &travelled.delivered);
    section.grids.push(grid(&names, &looks));
    section.note(format!(
        "flat: after the first {WARM_UP_PART}th of the run no role has taken more than {GROWTH_PERCENT_MAX} % and \
         {GROWTH_MIB_MAX} MiB beyond its most in it, or {GROWTH_DESCRIPTORS_MAX} more descriptors"
    ));
    section.data = json!({ "travelled": travelled, "roles": names, "looks": looks });
    Ok(section)
}

/// Looks at the roles again and again for `time`.
async fn watch(time: Duration, roles: &[Role]) -> Result<Vec<Look>> {
    let start = Instant::now();
    let every = LOOK_EVERY.min(time / LOOKS_MIN);
    let (mut looks, mut next) = (Vec::new(), start + every);
    while next <= start + time {
        tokio::time::sleep_until(next.into()).await;
        next += every;
        let look = Look {
            at_seconds: start.elapsed().as_secs_f64(),
            roles: roles.iter().map(look_at).collect::<Result<_>>()?,
        };
        let shown = roles.iter().zip(&look.roles).map(|(role, used)| {
            let Use {
                resident_mib,
                descriptors,
            } = used;
            format!(
                "{} {resident_mib} MiB, {descriptors} descriptors",
                role.name
            )
        });
        let shown: Vec<String> = shown.collect();
        eprintln!("  {:5.0} s: {}", look.at_seconds, shown.join("; "));
        looks.push(look);
    }
    Ok(looks)
}

fn look_at(role: &Role) -> Result<Use> {
    Ok(Use {
        resident_mib: role.resident_bytes()? / MIB,
        descriptors: open_files(role.pid()?).count(),
    })
}

/// Compares the most of the warm-up with the most of what came later.
fn ensure_flat(uses: &[Use]) -> Result<()> {
    let (warm_up, later) = uses.split_at(uses.len().div_ceil(WARM_UP_PART));
    let (before, after) = (most(warm_up), most(later));
    let mib_max = before.resident_mib * (100 + GROWTH_PERCENT_MAX) / 100 + GROWTH_MIB_MAX;
    ensure!(
        after.resident_mib <= mib_max,
        "{} MiB at first, {} MiB later, and {mib_max} MiB would be well",
        before.resident_mib,
        after.resident_mib
    );
    let descriptors_max = before.descriptors + GROWTH_DESCRIPTORS_MAX;
    ensure!(
        after.descriptors <= descriptors_max,
        "{} descriptors at first, {} later, and {descriptors_max} would be well",
        before.descriptors,
        after.descriptors
    );
    Ok(())
}

fn most(uses: &[Use]) -> Use {
    Use {
        resident_mib: uses.iter().map(|used| used.resident_mib).max().unwrap_or(0),
        descriptors: uses.iter().map(|used| used.descriptors).max().unwrap_or(0),
    }
}

/// The most of each tenth of the run: hours of minutes are too many lines.
fn grid(names: &[String], looks: &[Look]) -> Grid {
    let columns = names
        .iter()
        .flat_map(|name| [format!("{name} MiB"), "descriptors".to_owned()]);
    let mut grid = Grid::new(std::iter::once("until s".to_owned()).chain(columns));
    for tenth in looks.chunks(looks.len().div_ceil(10).max(1)) {
        let until = tenth.last().map_or(0.0, |look| look.at_seconds);
        let cells = (0..names.len()).flat_map(|number| {
            let uses: Vec<Use> = tenth.iter().map(|look| look.roles[number]).collect();
            let most = most(&uses);
            [most.resident_mib.to_string(), most.descriptors.to_string()]
        });
        grid.line(std::iter::once(format!("{until:.0}")).chain(cells));
    }
    grid
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(of: impl Fn(u64) -> Use) -> Option<String> {
        let uses: Vec<Use> = (0..100).map(of).collect();
        ensure_flat(&uses).err().map(|error| error.to_string())
    }

    #[test]
    fn what_fills_at_first_and_what_wavers_is_flat() {
        let of = |at: u64| Use {
            resident_mib: 40 + at.min(24) * 4 + at % 3,
            descriptors: 60,
        };
        assert_eq!(refusal(of), None);
    }

    #[test]
    fn what_grows_to_the_end_is_refused() {
        let memory = |at: u64| Use {
            resident_mib: 100 + at,
            descriptors: 60,
        };
        assert_eq!(
            refusal(memory).as_deref(),
            Some("124 MiB at first, 199 MiB later, and 164 MiB would be well")
        );
        let files = |at: u64| Use {
            resident_mib: 100,
            descriptors: 60 + usize::from(at >= 50) * 17,
        };
        assert_eq!(
            refusal(files).as_deref(),
            Some("60 descriptors at first, 77 later, and 76 would be well")
        );
    }
}
