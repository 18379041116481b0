//! Databases as SQL text: rows of plain literals, and for SQLite the tables too.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};

use super::migrations;

/// SQLite's tables and rows, as they are in `conn`'s file.
pub async fn of_sqlite(conn: &mut SqliteConnection) -> String {
    let mut text = String::new();
    let form: i64 = one(conn, "PRAGMA user_version").await;
    for sql in texts(
        conn,
        "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
    )
    .await
    {
        writeln!(text, "{sql};").expect("text");
    }
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'
                  UNION ALL SELECT 'sqlite_sequence'";
    for table in texts(conn, tables).await {
        let columns =
            format!("SELECT 'quote(\"' || name || '\")' FROM pragma_table_info('{table}')");
        let values = texts(conn, &columns).await.join(" || ', ' || ");
        let rows = format!(
            "SELECT 'INSERT INTO {table} VALUES (' || {values} || ');' FROM {table} ORDER BY 1"
        );
        for row in texts(conn, &rows).await {
            writeln!(text, "{row}").expect("text");
        }
    }
    let rest =
        "SELECT sql FROM sqlite_schema WHERE type IN ('index', 'trigger') AND sql IS NOT NULL
                ORDER BY type, name";
    for sql in texts(conn, rest).await {
        writeln!(text, "{sql};").expect("text");
    }
    writeln!(text, "PRAGMA user_version = {form};").expect("text");
    text
}

async fn one(conn: &mut SqliteConnection, sql: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(sql))
        .fetch_one(conn)
        .await
        .expect("one number")
}

/// The first column of what `sql` selects.
pub async fn texts(conn: &mut SqliteConnection, sql: &str) -> Vec<String> {
    let texts = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(conn).await;
    texts.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// Writes what `text` says into a new file.
pub async fn into_sqlite(text: &str, file: &Path) {
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true);
    let mut conn = SqliteConnection::connect_with(&options)
        .await
        .expect("a new file");
    sqlx::raw_sql(AssertSqlSafe(text))
        .execute(&mut conn)
        .await
        .expect("the dump's text");
    conn.close().await.expect("closed");
}

/// The rows of a database of PostgreSQL, with those of the migrations that made its tables.
pub async fn of_postgres(session: &mut PgConnection) -> String {
    let mut text = String::new();
    for table in pg_texts(
        session,
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1",
    )
    .await
    {
        let columns = format!(
            "SELECT column_name FROM information_schema.columns
             WHERE table_schema = 'public' AND table_name = '{table}' ORDER BY ordinal_position"
        );
        let columns = pg_texts(session, &columns).await;
        let values: Vec<_> = columns
            .iter()
            .map(|column| format!("quote_nullable({column}::text)"))
            .collect();
        let (names, values) = (columns.join(", "), values.join(" || ', ' || "));
        let rows = format!(
            "SELECT 'INSERT INTO {table} ({names}) OVERRIDING SYSTEM VALUE VALUES (' || {values} || ');'
             FROM {table} ORDER BY 1"
        );
        // What the migrations themselves have put in is in the dump, too.
        writeln!(text, "DELETE FROM {table};").expect("text");
        for row in pg_texts(session, &rows).await {
            writeln!(text, "{row}").expect("text");
        }
    }
    let sequences = "SELECT format('SELECT setval(%L, %s);', sequencename, last_value)
                     FROM pg_sequences WHERE last_value IS NOT NULL ORDER BY 1";
    for sequence in pg_texts(session, sequences).await {
        writeln!(text, "{sequence}").expect("text");
    }
    text
}

async fn pg_texts(session: &mut PgConnection, sql: &str) -> Vec<String> {
    let texts = sqlx::query_scalar(AssertSqlSafe(sql))
        .fetch_all(session)
        .await;
    texts.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// Makes the tables as the dump's migrations made them, and fills them. `kind` is the folder of migrations that
/// are this database's alone.
pub async fn into_postgres(text: &str, kind: &str, session: &mut PgConnection) {
    const APPLIED: &str = "INSERT INTO _sqlx_migrations (version, description, installed_on, success, checksum, \
                           execution_time) OVERRIDING SYSTEM VALUE VALUES ('";
    let applied: BTreeSet<u32> = text
        .lines()
        .filter_map(|line| line.strip_prefix(APPLIED)?.split_once('\''))
        .map(|(version, _)| version.parse().expect("a number"))
        .collect();
    assert!(!applied.is_empty(), "the dump names its migrations");
    let folders = [kind, "shared"].map(|folder| migrations(&format!("migrations/{folder}")));
    let mut known: Vec<_> = folders.into_iter().flatten().collect();
    known.sort();
    let mut sql = "CREATE TABLE _sqlx_migrations (version bigint PRIMARY KEY, description text NOT NULL,
        installed_on timestamptz NOT NULL DEFAULT now(), success boolean NOT NULL, checksum bytea NOT NULL,
        execution_time bigint NOT NULL);\n"
        .to_owned();
    for (_, file) in known.iter().filter(|(number, _)| applied.contains(number)) {
        sql += &std::fs::read_to_string(file).expect("a migration");
    }
    // The rows are those that the triggers have left.
    let text = format!("SET session_replication_role = replica;\n{text}");
    for part in [&sql, &text] {
        sqlx::raw_sql(AssertSqlSafe(&**part))
            .execute(&mut *session)
            .await
            .expect("the dump's text");
    }
}
