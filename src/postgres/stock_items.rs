//! Items as clients see and change them: set, adjusted, listed, each write under its idempotency key.

use sqlx::{Connection as _, PgConnection};
use trackops_domain::ids::Sku;
use trackops_domain::stock::Restock;
use trackops_domain::stock::item::{Adjustment, Condition, Item, KnownKey, WriteRefused, restock};

use super::stock_keys as keys;
use super::stock_rows::{impossible, int8, level, parse_sku};
use super::types::Millis;

type Answer<T> = Result<Result<T, WriteRefused>, sqlx::Error>;

type StoredItem = (String, i64, i64, i64);

type StoredAdjustment = (i64, i64, String, Millis, i64, i64, i64);

const ITEM: &str = "SELECT sku, on_hand, reserved, version FROM items WHERE sku = $1";

const LOCK_ITEM: &str =
    "SELECT sku, on_hand, reserved, version FROM items WHERE sku = $1 FOR UPDATE";

const ITEMS_AFTER: &str =
    "SELECT sku, on_hand, reserved, version FROM items WHERE sku > $1 ORDER BY sku LIMIT $2";

/// One item's adjustments, read from the end of its range of `stock_adjustments_by_sku`. The range and the
/// order name both columns; else the planner may scan the primary key backwards, past the adjustments of all
/// other items. Ids begin at 1.
const ADJUSTMENTS: &str = "
    SELECT id, delta, reason, at, on_hand, reserved, version FROM stock_adjustments
    WHERE (sku, id) < ($1, $2) AND (sku, id) > ($1, 0) ORDER BY sku DESC, id DESC LIMIT $3";

const ADJUSTMENT: &str = "
    SELECT id, delta, reason, at, on_hand, reserved, version FROM stock_adjustments
    WHERE id = $1";

/// One item.
pub(super) async fn item(
    connection: &mut PgConnection,
    sku: &Sku,
) -> Result<Option<Item>, sqlx::Error> {
    one(connection, ITEM, sku).await
}

async fn one(
    connection: &mut PgConnection,
    sql: &'static str,
    sku: &Sku,
) -> Result<Option<Item>, sqlx::Error> {
    let stored: Option<StoredItem> = sqlx::query_as(sql)
        .bind(sku.as_str())
        .fetch_optional(connection)
        .await?;
    stored
        .map(|(_, on_hand, reserved, version)| read(on_hand, reserved, version))
        .transpose()
}

fn read(on_hand: i64, reserved: i64, version: i64) -> Result<Item, sqlx::Error> {
    Ok(Item {
        level: level(on_hand, reserved)?,
        version: u64::try_from(version).map_err(|_| impossible("version"))?,
    })
}

/// Items in order of SKU. An item that can't be read is left out, and the others are still shown.
pub(super) async fn items_after(
    connection: &mut PgConnection,
    after: Option<&Sku>,
    limit: u32,
) -> Result<Vec<(Sku, Item)>, sqlx::Error> {
    let stored: Vec<StoredItem> = sqlx::query_as(ITEMS_AFTER)
        .bind(after.map_or("", Sku::as_str))
        .bind(i64::from(limit))
        .fetch_all(connection)
        .await?;
    let readable = stored
        .into_iter()
        .filter_map(|(name, on_hand, reserved, version)| {
            let found =
                parse_sku(&name).and_then(|sku| Ok((sku, read(on_hand, reserved, version)?)));
            found
                .inspect_err(|error| tracing::warn!(sku = name, %error, "item can't be read"))
                .ok()
        });
    Ok(readable.collect())
}

/// Sets the quantity on hand, and creates the item; also tells whether the key had done so before.
pub(super) async fn set(
    connection: &mut PgConnection,
    sku: &Sku,
    on_hand: u64,
    condition: &Condition,
    key: Option<&str>,
) -> Answer<(Item, bool)> {
    let mut transaction = connection.begin().await?;
    if let Some(key) = key
        && let Some(known) = keys::take_key(&mut transaction, key, sku, int8(on_hand)).await?
    {
        let now = item(&mut transaction, sku).await?;
        transaction.rollback().await?;
        let again = known.set_again(sku, on_hand, now);
        return Ok(again.map(|item| (item, true)));
    }
    let item = match write(&mut transaction, sku, Restock::To(on_hand), condition).await? {
        Ok(item) => item,
        Err(refused) => {
            transaction.rollback().await?;
            return Ok(Err(refused));
        }
    };
    if let Some(key) = key {
        keys::keep_answer(&mut transaction, key, item).await?;
    }
    transaction.commit().await?;
    Ok(Ok((item, false)))
}

/// Adds to the quantity on hand and records the adjustment; also tells whether the key had done so before.
pub(super) async fn adjust(
    connection: &mut PgConnection,
    sku: &Sku,
    delta: i64,
    reason: &str,
    key: Option<&str>,
) -> Answer<(Adjustment, bool)> {
    let mut transaction = connection.begin().await?;
    if let Some(key) = key
        && let Some(known) =
            keys::take_key(&mut transaction, key, sku, KnownKey::ADJUSTMENT).await?
    {
        let first = match known.adjustment {
            Some(id) => adjustment(&mut transaction, id).await?,
            None => None,
        };
        transaction.rollback().await?;
        let again = known.adjusted_again(sku, delta, reason, first);
        return Ok(again.map(|first| (first, true)));
    }
    let any = Condition::default();
    let item = match write(&mut transaction, sku, Restock::By(delta), &any).await? {
        Ok(item) => item,
        Err(refused) => {
            transaction.rollback().await?;
            return Ok(Err(refused));
        }
    };
    let stored: StoredAdjustment = sqlx::query_as(
        "INSERT INTO stock_adjustments (sku, delta, reason, at, on_hand, reserved, version)
         VALUES ($1, $2, $3, now(), $4, $5, $6)
         RETURNING id, delta, reason, at, on_hand, reserved, version",
    )
    .bind(sku.as_str())
    .bind(delta)
    .bind(reason)
    .bind(int8(item.level.on_hand))
    .bind(int8(item.level.reserved))
    .bind(int8(item.version))
    .fetch_one(&mut *transaction)
    .await?;
    let noted = noted(stored)?;
    if let Some(key) = key {
        keys::keep_adjustment(&mut transaction, key, noted.id).await?;
    }
    transaction.commit().await?;
    Ok(Ok((noted, false)))
}

/// Changes the item under its lock, and returns it.
async fn write(
    connection: &mut PgConnection,
    sku: &Sku,
    change: Restock,
    condition: &Condition,
) -> Answer<Item> {
    loop {
        let stored = one(connection, LOCK_ITEM, sku).await?;
        let level = match restock(stored, change, condition) {
            Ok(level) => level,
            Err(refused) => return Ok(Err(refused)),
        };
        let sql = match stored {
            Some(_) => "UPDATE items SET on_hand = $2 WHERE sku = $1 RETURNING version",
            None => {
                "INSERT INTO items (sku, on_hand) VALUES ($1, $2) ON CONFLICT DO NOTHING
                 RETURNING version"
            }
        };
        let version: Option<i64> = sqlx::query_scalar(sql)
            .bind(sku.as_str())
            .bind(int8(level.on_hand))
            .fetch_optional(&mut *connection)
            .await?;
        // `None` if another transaction has created the item in between: then it exists and can be locked.
        if let Some(version) = version {
            let version = u64::try_from(version).map_err(|_| impossible("version"))?;
            return Ok(Ok(Item { level, version }));
        }
    }
}

/// An item's adjustments, newest first.
pub(super) async fn adjustments(
    connection: &mut PgConnection,
    sku: &Sku,
    before: Option<i64>,
    limit: u32,
) -> Result<Vec<Adjustment>, sqlx::Error> {
    let stored: Vec<StoredAdjustment> = sqlx::query_as(ADJUSTMENTS)
        .bind(sku.as_str())
        .bind(before.unwrap_or(i64::MAX))
        .bind(i64::from(limit))
        .fetch_all(connection)
        .await?;
    stored.into_iter().map(noted).collect()
}

async fn adjustment(
    connection: &mut PgConnection,
    id: i64,
) -> Result<Option<Adjustment>, sqlx::Error> {
    let stored: Option<StoredAdjustment> = sqlx::query_as(ADJUSTMENT)
        .bind(id)
        .fetch_optional(connection)
        .await?;
    stored.map(noted).transpose()
}

fn noted(stored: StoredAdjustment) -> Result<Adjustment, sqlx::Error> {
    let (id, delta, reason, at, on_hand, reserved, version) = stored;
    Ok(Adjustment {
        id,
        delta,
        reason,
        at: at.0,
        item: read(on_hand, reserved, version)?,
    })
}
