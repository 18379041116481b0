//! Items as clients see and change them: set, adjusted, listed, each write under its idempotency key. All run
//! inside the writing transaction; a refusal has written nothing.

use sqlx::sqlite::{Sqlite, SqliteConnection};
use sqlx::{Executor, Row as _};
use trackops_domain::ids::Sku;
use trackops_domain::stock::Restock;
use trackops_domain::stock::item::{
    Adjustment, Condition, Item, KEY_DAYS, KnownKey, WriteRefused, restock,
};
use trackops_domain::time::Timestamp;

use super::super::error::corrupt;
use super::level::level_of;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

const ADJUSTMENTS: &str = "
    SELECT id, delta, reason, at, on_hand, reserved, version FROM stock_adjustments
    WHERE sku = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3";

/// A client's change of an item.
pub(super) struct Restocking {
    pub(super) sku: Sku,
    pub(super) condition: Condition,
    pub(super) key: Option<String>,
    pub(super) now: Timestamp,
}

type Answer<T> = sqlx::Result<Result<T, WriteRefused>>;

type StoredAdjustment = (i64, i64, String, i64, i64, i64, i64);

/// One item.
pub(super) async fn item<'e>(
    from: impl Executor<'e, Database = Sqlite>,
    sku: &Sku,
) -> sqlx::Result<Option<Item>> {
    let stored: Option<(i64, i64, i64)> =
        sqlx::query_as("SELECT on_hand, reserved, version FROM stock_items WHERE sku = ?1")
            .bind(sku.as_str())
            .fetch_optional(from)
            .await?;
    Ok(stored.map(|(on_hand, reserved, version)| read(on_hand, reserved, version)))
}

fn read(on_hand: i64, reserved: i64, version: i64) -> Item {
    Item {
        level: level_of(on_hand, reserved),
        version: u64::try_from(version).unwrap_or(0),
    }
}

/// Items in order of SKU. An item that can't be read is left out, and the others are still shown.
pub(super) async fn items_after<'e>(
    from: impl Executor<'e, Database = Sqlite>,
    after: Option<&Sku>,
    limit: u32,
) -> sqlx::Result<Vec<(Sku, Item)>> {
    // The smallest SKU is longer than the empty text.
    let rows = sqlx::query(
        "SELECT sku, on_hand, reserved, version FROM stock_items WHERE sku > ?1 ORDER BY sku LIMIT ?2",
    )
    .bind(after.map_or("", Sku::as_str))
    .bind(limit)
    .fetch_all(from)
    .await?;
    let readable = rows.iter().filter_map(|row| {
        let found = row.try_get(0).and_then(|name| {
            let sku = Sku::parse(name).ok_or_else(|| corrupt("SKU"))?;
            Ok((sku, read(row.try_get(1)?, row.try_get(2)?, row.try_get(3)?)))
        });
        found
            .inspect_err(|error| tracing::warn!(%error, "item can't be read"))
            .ok()
    });
    Ok(readable.collect())
}

/// Sets the quantity on hand, and creates the item; also tells whether the key had done so before.
pub(super) async fn set(
    conn: &mut SqliteConnection,
    asked: &Restocking,
    on_hand: u64,
) -> Answer<(Item, bool)> {
    let stored = item(&mut *conn, &asked.sku).await?;
    if let Some(known) = known_key(conn, asked).await? {
        let again = known.set_again(&asked.sku, on_hand, stored);
        return Ok(again.map(|item| (item, true)));
    }
    let item = match write(conn, asked, stored, Restock::To(on_hand)).await? {
        Ok(item) => item,
        Err(refused) => return Ok(Err(refused)),
    };
    remember(conn, asked, int8(on_hand), item, None).await?;
    Ok(Ok((item, false)))
}

/// Adds to the quantity on hand and records the adjustment; also tells whether the key had done so before.
pub(super) async fn adjust(
    conn: &mut SqliteConnection,
    asked: &Restocking,
    delta: i64,
    reason: &str,
) -> Answer<(Adjustment, bool)> {
    if let Some(known) = known_key(conn, asked).await? {
        let first: Option<StoredAdjustment> = sqlx::query_as(
            "SELECT id, delta, reason, at, on_hand, reserved, version FROM stock_adjustments
             WHERE id = ?1",
        )
        .bind(known.adjustment)
        .fetch_optional(conn)
        .await?;
        let again = known.adjusted_again(&asked.sku, delta, reason, first.map(noted));
        return Ok(again.map(|first| (first, true)));
    }
    let stored = item(&mut *conn, &asked.sku).await?;
    let item = match write(conn, asked, stored, Restock::By(delta)).await? {
        Ok(item) => item,
        Err(refused) => return Ok(Err(refused)),
    };
    let stored: StoredAdjustment = sqlx::query_as(
        "INSERT INTO stock_adjustments (sku, delta, reason, at, on_hand, reserved, version)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         RETURNING id, delta, reason, at, on_hand, reserved, version",
    )
    .bind(asked.sku.as_str())
    .bind(delta)
    .bind(reason)
    .bind(asked.now.0)
    .bind(int8(item.level.on_hand))
    .bind(int8(item.level.reserved))
    .bind(int8(item.version))
    .fetch_one(&mut *conn)
    .await?;
    let noted = noted(stored);
    remember(conn, asked, KnownKey::ADJUSTMENT, item, Some(noted.id)).await?;
    Ok(Ok((noted, false)))
}

async fn write(
    conn: &mut SqliteConnection,
    asked: &Restocking,
    stored: Option<Item>,
    change: Restock,
) -> Answer<Item> {
    let level = match restock(stored, change, &asked.condition) {
        Ok(level) => level,
        Err(refused) => return Ok(Err(refused)),
    };
    sqlx::query(
        "INSERT INTO stock_items (sku, on_hand, reserved) VALUES (?1, ?2, 0)
         ON CONFLICT (sku) DO UPDATE SET on_hand = excluded.on_hand",
    )
    .bind(asked.sku.as_str())
    .bind(int8(level.on_hand))
    .execute(&mut *conn)
    .await?;
    let after = item(conn, &asked.sku).await?;
    Ok(Ok(after.ok_or_else(|| corrupt("item"))?))
}

/// An item's adjustments, newest first.
pub(super) async fn adjustments<'e>(
    from: impl Executor<'e, Database = Sqlite>,
    sku: &Sku,
    before: Option<i64>,
    limit: u32,
) -> sqlx::Result<Vec<Adjustment>> {
    let stored: Vec<StoredAdjustment> = sqlx::query_as(ADJUSTMENTS)
        .bind(sku.as_str())
        .bind(before.unwrap_or(i64::MAX))
        .bind(limit)
        .fetch_all(from)
        .await?;
    Ok(stored.into_iter().map(noted).collect())
}

fn noted(stored: StoredAdjustment) -> Adjustment {
    let (id, delta, reason, at, on_hand, reserved, version) = stored;
    Adjustment {
        id,
        delta,
        reason,
        at: Timestamp(at),
        item: read(on_hand, reserved, version),
    }
}

async fn known_key(
    conn: &mut SqliteConnection,
    asked: &Restocking,
) -> sqlx::Result<Option<KnownKey>> {
    let Some(key) = &asked.key else {
        return Ok(None);
    };
    let row = sqlx::query(
        "SELECT sku, on_hand, reserved, version, adjustment FROM stock_keys WHERE key = ?1",
    )
    .bind(key)
    .fetch_optional(conn)
    .await?;
    row.map(|row| {
        Ok(KnownKey {
            sku: row.try_get(0)?,
            on_hand: row.try_get(1)?,
            reserved: row.try_get(2)?,
            version: row.try_get(3)?,
            adjustment: row.try_get(4)?,
        })
    })
    .transpose()
}

/// Stores the write that the key stands for and its answer, if there is a key.
async fn remember(
    conn: &mut SqliteConnection,
    asked: &Restocking,
    wanted: i64,
    answer: Item,
    adjustment: Option<i64>,
) -> sqlx::Result<()> {
    let Some(key) = &asked.key else {
        return Ok(());
    };
    sqlx::query("DELETE FROM stock_keys WHERE at < ?1")
        .bind(asked.now.0 - i64::from(KEY_DAYS) * DAY_MS)
        .execute(&mut *conn)
        .await?;
    sqlx::query(
        "INSERT INTO stock_keys (key, sku, on_hand, at, reserved, version, adjustment)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (key) DO NOTHING",
    )
    .bind(key)
    .bind(asked.sku.as_str())
    .bind(wanted)
    .bind(asked.now.0)
    .bind(int8(answer.level.reserved))
    .bind(int8(answer.version))
    .bind(adjustment)
    .execute(conn)
    .await
    .map(drop)
}

fn int8(number: u64) -> i64 {
    // Quantities and versions of items stay far below it.
    i64::try_from(number).unwrap_or(i64::MAX)
}
