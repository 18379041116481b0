//! Databases as older versions of this program have left them. `tests/fixtures/upgrade/README.md` says what is
//! there, and how the next one is added.

mod dump;
mod postgres;
mod scenario;
mod shown;
mod sqlite;
mod stores;

use std::path::{Path, PathBuf};

/// The folder with the dumps.
fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/upgrade")
}

/// The folders of dumps whose names begin with `store`, each with its number, in order.
fn dumps(store: &str) -> Vec<(u32, PathBuf)> {
    let mut found: Vec<_> = std::fs::read_dir(fixtures())
        .expect("the folder is there")
        .map(|entry| entry.expect("an entry").path())
        .filter_map(|path| {
            let name = path.file_name()?.to_str()?;
            let number = name.strip_prefix(store)?.strip_prefix('-')?;
            Some((number.parse().ok()?, path))
        })
        .collect();
    found.sort();
    found
}

/// The migrations in `folder`, by number.
fn migrations(folder: &str) -> Vec<(u32, PathBuf)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut found: Vec<_> = std::fs::read_dir(folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("an entry").path())
        .filter_map(|path| {
            let name = path.file_name()?.to_str()?;
            Some((name.split_once('_')?.0.parse().ok()?, path))
        })
        .collect();
    found.sort();
    found
}

const ADVICE: &str =
    "tests/fixtures/upgrade/README.md says how the dump of a new schema is written";

#[test]
fn every_schema_of_sqlite_has_a_dump() {
    let dumps: Vec<u32> = dumps("sqlite")
        .into_iter()
        .map(|(number, _)| number)
        .collect();
    for (number, _) in migrations("src/embedded/migrations") {
        assert!(dumps.contains(&number), "none of form {number}: {ADVICE}");
    }
}

#[test]
fn the_newest_schema_of_postgres_has_a_dump() {
    let folders = ["orders", "inventory", "shared"];
    let all = folders.map(|folder| migrations(&format!("migrations/{folder}")));
    let newest = all.iter().flatten().map(|(number, _)| *number).max();
    let dumped = dumps("postgres").last().map(|(number, _)| *number);
    assert_eq!(dumped, newest, "{ADVICE}");
}
