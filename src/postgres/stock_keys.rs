//! Clients' idempotency keys of stock: the write that each stands for, and its answer.

use sqlx::PgConnection;
use trackops_domain::ids::Sku;
use trackops_domain::stock::item::{Item, KEY_DAYS, KnownKey};

use super::stock_rows::int8;

type StoredKey = (String, i64, Option<i64>, Option<i64>, Option<i64>);

/// Takes `key` for this write; returns what the key stands for if it is taken already.
pub(super) async fn take_key(
    connection: &mut PgConnection,
    key: &str,
    sku: &Sku,
    on_hand: i64,
) -> Result<Option<KnownKey>, sqlx::Error> {
    sqlx::query("DELETE FROM stock_keys WHERE at < now() - make_interval(days => $1)")
        .bind(KEY_DAYS)
        .execute(&mut *connection)
        .await?;
    let taken = sqlx::query(
        "INSERT INTO stock_keys (key, sku, on_hand, at) VALUES ($1, $2, $3, now())
         ON CONFLICT DO NOTHING",
    )
    .bind(key)
    .bind(sku.as_str())
    .bind(on_hand)
    .execute(&mut *connection)
    .await?;
    if taken.rows_affected() == 1 {
        return Ok(None);
    }
    let known: Option<StoredKey> = sqlx::query_as(
        "SELECT sku, on_hand, reserved, version, adjustment FROM stock_keys WHERE key = $1",
    )
    .bind(key)
    .fetch_optional(connection)
    .await?;
    Ok(
        known.map(|(sku, on_hand, reserved, version, adjustment)| KnownKey {
            sku,
            on_hand,
            reserved,
            version,
            adjustment,
        }),
    )
}

/// Stores the answer to the write that has taken `key`.
pub(super) async fn keep_answer(
    connection: &mut PgConnection,
    key: &str,
    answer: Item,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE stock_keys SET reserved = $2, version = $3 WHERE key = $1")
        .bind(key)
        .bind(int8(answer.level.reserved))
        .bind(int8(answer.version))
        .execute(connection)
        .await
        .map(drop)
}

/// Stores the adjustment that was made by the write that has taken `key`.
pub(super) async fn keep_adjustment(
    connection: &mut PgConnection,
    key: &str,
    adjustment: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE stock_keys SET adjustment = $2 WHERE key = $1")
        .bind(key)
        .bind(adjustment)
        .execute(connection)
        .await
        .map(drop)
}
