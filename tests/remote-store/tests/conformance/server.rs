//! A SurrealDB server process, killed with its handle.

use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use matryx_surrealdb::{Database, StoreConfig};
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep},
};

/// How long the server may take to start.
const START: Duration = Duration::from_secs(60);

/// A server with a folder of its own.
pub(crate) struct Server {
    address: SocketAddr,
    folder: PathBuf,
    child: Child,
    _owned: Option<TempDir>,
}

impl Server {
    /// Starts a server on an empty folder.
    pub(crate) async fn start() -> Self {
        let owned = tempfile::tempdir().unwrap();
        let address = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let folder = owned.path().join("db");
        let child = spawn(address, &folder);
        let server = Self {
            address,
            folder,
            child,
            _owned: Some(owned),
        };
        server.ready().await;
        server
    }

    /// How to connect to it.
    pub(crate) fn config(&self) -> StoreConfig {
        let mut config = StoreConfig::new(format!("ws://{}", self.address));
        config.username = Some("root".to_owned());
        config.password = Some("root".to_owned());
        config.node = Some(1);
        config
    }

    /// Kills it, without a chance to say anything.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Starts it again on the same address and folder.
    pub(crate) async fn restart(&mut self) {
        self.child = spawn(self.address, &self.folder);
        self.ready().await;
    }

    async fn ready(&self) {
        let deadline = Instant::now() + START;
        while let Err(error) = Database::connect(&self.config()).await {
            assert!(Instant::now() < deadline, "{error}");
            sleep(Duration::from_millis(50)).await;
        }
    }
}

fn spawn(address: SocketAddr, folder: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_surreal"))
        .args([
            "start",
            "--no-banner",
            "--log",
            "error",
            "--user",
            "root",
            "--pass",
            "root",
        ])
        .arg("--bind")
        .arg(address.to_string())
        .arg(format!("rocksdb://{}", folder.display()))
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}
