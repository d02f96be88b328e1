//! The remote engine: a server and a database of its own per test.

use matryx_surrealdb::{Store, StoreConfig};

use crate::server::Server;

/// A database for one test, gone with it.
pub(crate) struct Engine(Server);

impl Engine {
    /// Starts a server.
    pub(crate) async fn remote() -> Self {
        Self(Server::start().await)
    }

    /// How to open it.
    pub(crate) fn config(&self) -> StoreConfig {
        self.0.config()
    }

    /// Opens it.
    pub(crate) async fn open(&self) -> Store {
        Store::open(&self.config()).await.unwrap()
    }
}

/// Declares tests that run on every engine; here there is one.
macro_rules! conformance {
    ($($name:ident),+ $(,)?) => {
        mod remote {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::engine::Engine::remote().await).await;
            })+
        }
    };
}
pub(crate) use conformance;
