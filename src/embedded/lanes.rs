//! Which relay has which outbox lanes: fair shares among the holders whose lease has not ended.

use std::collections::BTreeMap;

use sqlx::sqlite::SqliteConnection;
use trackops_domain::time::Timestamp;

use super::outbox_owner::Owner;
use crate::ports::outbox::OUTBOX_LANES;

/// Takes or renews lane leases that last until `until`; returns the outbox lanes that `holder` has now.
pub(super) async fn lease(
    conn: &mut SqliteConnection,
    owner: Owner,
    holder: &str,
    now: Timestamp,
    until: Timestamp,
) -> sqlx::Result<Vec<u16>> {
    sqlx::query("DELETE FROM outbox_holders WHERE owner = ?1 AND until <= ?2")
        .bind(owner.id())
        .bind(now.0)
        .execute(&mut *conn)
        .await?;
    sqlx::query(
        "INSERT INTO outbox_holders (owner, holder, until) VALUES (?1, ?2, ?3)
         ON CONFLICT (owner, holder) DO UPDATE SET until = excluded.until",
    )
    .bind(owner.id())
    .bind(holder)
    .bind(until.0)
    .execute(&mut *conn)
    .await?;
    sqlx::query(
        "DELETE FROM outbox_lanes WHERE owner = ?1
         AND holder NOT IN (SELECT holder FROM outbox_holders WHERE owner = ?1)",
    )
    .bind(owner.id())
    .execute(&mut *conn)
    .await?;
    let holders: Vec<String> =
        sqlx::query_scalar("SELECT holder FROM outbox_holders WHERE owner = ?1 ORDER BY holder")
            .bind(owner.id())
            .fetch_all(&mut *conn)
            .await?;
    let held: Vec<(u16, String)> =
        sqlx::query_as("SELECT lane, holder FROM outbox_lanes WHERE owner = ?1")
            .bind(owner.id())
            .fetch_all(&mut *conn)
            .await?;
    let lanes = share(&holders, &held.into_iter().collect(), holder);
    sqlx::query("DELETE FROM outbox_lanes WHERE owner = ?1 AND holder = ?2")
        .bind(owner.id())
        .bind(holder)
        .execute(&mut *conn)
        .await?;
    sqlx::query(
        "INSERT INTO outbox_lanes (owner, lane, holder)
         SELECT ?1, value, ?3 FROM json_each(?2)",
    )
    .bind(owner.id())
    .bind(super::text::json(&lanes))
    .bind(holder)
    .execute(&mut *conn)
    .await?;
    Ok(lanes)
}

/// Gives up all lanes of `holder`.
pub(super) async fn release(
    conn: &mut SqliteConnection,
    owner: Owner,
    holder: &str,
) -> sqlx::Result<()> {
    for statement in [
        "DELETE FROM outbox_lanes WHERE owner = ?1 AND holder = ?2",
        "DELETE FROM outbox_holders WHERE owner = ?1 AND holder = ?2",
    ] {
        sqlx::query(statement)
            .bind(owner.id())
            .bind(holder)
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}

/// The lanes that `me` may hold: its own up to its share, then free ones. Shares differ by one at most; the
/// first holders by name have the larger ones.
///
/// PostgreSQL's `lease_lanes` (`migrations/shared/0001_outbox.sql`) has the same rule, and one contract tests
/// both. It stays there: relays of the version before call it, whatever this one does, and it needs one call
/// and the server's clock where Rust would hold a lock over several calls. SQLite has no functions.
fn share(holders: &[String], held: &BTreeMap<u16, String>, me: &str) -> Vec<u16> {
    let count = holders.len().max(1);
    let rank = holders.iter().position(|holder| holder == me).unwrap_or(0);
    let lanes = usize::from(OUTBOX_LANES);
    let share = lanes / count + usize::from(rank < lanes % count);
    let mine = (0..OUTBOX_LANES).filter(|lane| held.get(lane).is_some_and(|holder| holder == me));
    let free = (0..OUTBOX_LANES).filter(|lane| !held.contains_key(lane));
    mine.chain(free).take(share).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_to_every_lane() {
        for count in 1..=12_usize {
            let holders: Vec<String> = (0..count).map(|n| format!("h{n:02}")).collect();
            let mut held = BTreeMap::new();
            // Two rounds: lanes beyond a share become free in the first one.
            for me in holders.iter().chain(&holders) {
                let lanes = share(&holders, &held, me);
                held.retain(|_, holder| holder != me);
                held.extend(lanes.into_iter().map(|lane| (lane, me.clone())));
            }
            assert_eq!(held.len(), usize::from(OUTBOX_LANES), "{count} holders");
        }
    }
}
