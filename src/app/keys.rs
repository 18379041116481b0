//! `trackops keys`: keys in the orders' database, or in the file of a `dev` that is not running.

use std::sync::Arc;

use anyhow::Context as _;
use secrecy::ExposeSecret as _;
use trackops_domain::access::Role;
use trackops_domain::ids::ShopId;
use trackops_domain::time::Timestamp;

use super::servers;
use crate::auth::api_key::{self, NewKey, Presented};
use crate::auth::role_words::{self, RoleWords};
use crate::cli::keys_args::{CreateArgs, KeysArgs, KeysCommand};
use crate::codec::rfc3339;
use crate::config::Config;
use crate::embedded::Embedded;
use crate::model::access::{ApiKey, AuditEntry};
use crate::ports::access::AccessStore;
use crate::ports::clock::{Clock as _, SystemClock};
use crate::postgres::Kind;

/// Who makes keys on the command line.
const BY: &str = "command-line";

/// Keys that are read at once.
const PAGE: u32 = 200;

const DAY_MS: i64 = 86_400_000;

/// Makes, lists or revokes.
pub(super) async fn run(config: Config, args: KeysArgs) -> anyhow::Result<()> {
    if let Some(dir) = &args.data_dir {
        // The first key may be made before the first start.
        let is_first = matches!(args.command, KeysCommand::Create(_));
        anyhow::ensure!(
            is_first || dir.is_dir(),
            "there is no data directory {}",
            dir.display()
        );
        let store = Embedded::open(dir, Arc::new(SystemClock)).await?;
        let done = work(&*store.access(), &args.command).await;
        store.close().await;
        return done;
    }
    let url = config.orders_database()?;
    let database = servers::open_database(url, Kind::Orders, &config.stores)?;
    work(&database.access(), &args.command).await
}

async fn work(store: &dyn AccessStore, command: &KeysCommand) -> anyhow::Result<()> {
    match command {
        KeysCommand::Create(args) => create(store, args).await,
        KeysCommand::List => list(store).await,
        KeysCommand::Revoke { id } => revoke(store, id).await,
    }
}

async fn create(store: &dyn AccessStore, args: &CreateArgs) -> anyhow::Result<()> {
    anyhow::ensure!(
        role_words::is_name(&args.name),
        "--name must be 1 to 64 visible ASCII characters without a colon, and not anonymous"
    );
    let words = RoleWords {
        role: &args.role,
        shops: (!args.shops.is_empty()).then_some(&args.shops),
        customer: args.customer,
        courier: args.courier.as_deref(),
    };
    let role = words.read();
    let role = role.map_err(|(field, why)| anyhow::anyhow!("{} {why}", field.of_flag()))?;
    let now = SystemClock.now();
    let end = |days: u32| Timestamp(now.0.saturating_add(i64::from(days) * DAY_MS));
    let new = NewKey {
        name: args.name.clone(),
        role,
        created_by: BY.into(),
        expires_at: args.expires.map(end),
    };
    let (key, text) = api_key::create(new, now);
    let made = store.create_key(&key).await;
    made.context("can't store the key (has `trackops migrate` run?)")?;
    // Alone on its line, so that a script can take it.
    println!("{}", text.expose_secret());
    if let Err(error) = keep(store, "keys create", &key.id).await {
        eprintln!("the key is made, but that could not be kept for the audit: {error}");
    }
    eprintln!(
        "this is the only time that the key of {} is shown",
        key.name
    );
    Ok(())
}

async fn list(store: &dyn AccessStore) -> anyhow::Result<()> {
    let now = SystemClock.now();
    let mut after = String::new();
    loop {
        let keys = store.list_keys(&after, PAGE).await?;
        for key in &keys {
            println!("{}", line(key, now));
        }
        match keys.last() {
            Some(last) if keys.len() >= PAGE as usize => after.clone_from(&last.id),
            _ => return Ok(()),
        }
    }
}

fn line(key: &ApiKey, now: Timestamp) -> String {
    let state = match (key.revoked_at, key.expires_at) {
        (Some(at), _) => format!("revoked {}", rfc3339::format(at)),
        (None, Some(end)) if end <= now => format!("expired {}", rfc3339::format(end)),
        (None, Some(end)) => format!("until {}", rfc3339::format(end)),
        (None, None) => "for ever".into(),
    };
    let scope = match &key.role {
        Role::Customer(id) => format!(" ({id})"),
        Role::Kitchen(shops) => {
            let shops: Vec<_> = shops.iter().map(ShopId::as_str).collect();
            format!(" ({})", shops.join(" "))
        }
        Role::Courier(id) => format!(" ({id})"),
        Role::Service | Role::Operator | Role::Viewer => String::new(),
    };
    let role = key.role.name();
    format!("{}  {role:<10}{}{scope}  {state}", key.id, key.name)
}

async fn revoke(store: &dyn AccessStore, id: &str) -> anyhow::Result<()> {
    // Whoever has found a key somewhere has the whole of it. It is not repeated.
    let id = Presented::parse(id).map_or(id, |key| key.id);
    anyhow::ensure!(
        api_key::is_id(id),
        "a key's id has 16 hexadecimal digits: the part between the underscores"
    );
    let revoked = store.revoke_key(id, SystemClock.now()).await?;
    anyhow::ensure!(revoked, "there is no key {id}");
    keep(store, "keys revoke", id).await?;
    println!("{id} is revoked");
    Ok(())
}

async fn keep(store: &dyn AccessStore, action: &str, target: &str) -> anyhow::Result<()> {
    let entry = AuditEntry {
        at: SystemClock.now(),
        who: BY.into(),
        action: action.into(),
        target: target.into(),
        outcome: "done".into(),
        count: 1,
    };
    store.append_audit(&[entry]).await.map_err(Into::into)
}
