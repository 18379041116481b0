//! `trackops dev` as a process, with its data in a folder of the test's own.

use std::path::{Path, PathBuf};

use super::client::{Client, Endpoints};
use super::deployment::stock_all;
use super::environment::{free_port, fresh_folder, fresh_tag};
use super::role::{Launch, Role};

/// A `dev` that may be running.
pub struct DevProcess {
    /// The process.
    pub role: Role,
    /// A client of it.
    pub client: Client,
    /// Where its data is.
    pub data: PathBuf,
}

impl DevProcess {
    /// Starts it on fresh data, with `TRACKOPS_FAULT` or without, and stocks the catalogue.
    pub async fn start(fault: Option<&str>) -> Self {
        let folder = fresh_folder(&fresh_tag());
        let data = folder.join("data");
        let launch = launch(&folder, &data, free_port());
        let mut role = Role::spawn_with(launch, fault);
        role.ready().await;
        let client = client_of(&role);
        stock_all(&client).await;
        Self { role, client, data }
    }
}

impl Drop for DevProcess {
    fn drop(&mut self) {
        self.role.kill();
        // Left over in the target folder at worst.
        let _ = std::fs::remove_dir_all(&self.data);
    }
}

/// A client of a `dev`.
pub fn client_of(role: &Role) -> Client {
    let base = role.launch.management.clone();
    Client::new(Endpoints {
        order: base.clone(),
        inventory: base.clone(),
        order_management: base.clone(),
        inventory_management: base.clone(),
        relay_management: base,
    })
}

/// How to start a `dev` on `data` and `port`.
pub fn launch(folder: &Path, data: &Path, port: u16) -> Launch {
    let listen = format!("127.0.0.1:{port}");
    let arguments = [
        "dev",
        "--data-dir",
        &data.to_string_lossy(),
        "--listen",
        &listen,
    ];
    Launch {
        name: format!("dev-{port}"),
        arguments: arguments.map(str::to_owned).into(),
        environment: vec![("TRACKOPS_LOG".into(), "info,trackops=debug".into())],
        folder: folder.into(),
        management: format!("http://{listen}"),
    }
}
