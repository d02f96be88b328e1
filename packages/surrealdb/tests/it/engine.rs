//! The engines that are built in, each with a database of its own per test.

use matryx_surrealdb::{Store, StoreConfig};
use tempfile::TempDir;

/// A database for one test, gone with it.
pub(crate) struct Engine {
    url: String,
    _folder: Option<TempDir>,
}

impl Engine {
    /// In memory.
    pub(crate) fn mem() -> Self {
        Self {
            url: "mem://".to_owned(),
            _folder: None,
        }
    }

    /// RocksDB in a temporary folder.
    pub(crate) fn rocksdb() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("rocksdb://{}", folder.path().join("db").display());
        Self {
            url,
            _folder: Some(folder),
        }
    }

    /// How to open it.
    pub(crate) fn config(&self) -> StoreConfig {
        StoreConfig::new(self.url.clone())
    }

    /// Opens it.
    pub(crate) async fn open(&self) -> Store {
        Store::open(&self.config()).await.unwrap()
    }
}

/// Declares tests that run on every engine: `conformance! { name, … }` makes of each
/// `async fn name(engine: Engine)` one test per engine.
macro_rules! conformance {
    ($($name:ident),+ $(,)?) => {
        mod mem {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::engine::Engine::mem()).await;
            })+
        }

        mod rocksdb {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::engine::Engine::rocksdb()).await;
            })+
        }
    };
}
pub(crate) use conformance;
