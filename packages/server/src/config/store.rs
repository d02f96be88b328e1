//! What the store is told of the configuration.

use matryx_surrealdb::StoreConfig;

use super::{Config, Durability};

impl Config {
    /// Where the database is; by default the folder `database` under `data_dir`, embedded.
    pub fn database_url(&self) -> String {
        let embedded = || format!("rocksdb://{}", self.data_dir.join("database").display());
        self.database.url.clone().unwrap_or_else(embedded)
    }

    /// The store's own configuration.
    pub fn store_config(&self) -> StoreConfig {
        let database = &self.database;
        let mut store = StoreConfig::new(self.database_url());
        store.namespace.clone_from(&database.namespace);
        store.database.clone_from(&database.name);
        store.username.clone_from(&database.username);
        store.password = database
            .password
            .as_ref()
            .map(|password| password.expose().to_owned());
        store.durability = match database.durability {
            Durability::Commit => matryx_surrealdb::Durability::Every,
            Durability::Background => matryx_surrealdb::Durability::Never,
        };
        store.block_cache_bytes = database.block_cache.as_bytes();
        store.write_buffer_bytes = database.write_buffer.as_bytes();
        store.write_buffers = database.write_buffers;
        store
    }
}
