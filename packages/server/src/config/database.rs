//! `database.*`

use super::{
    setting::settings,
    value::{ByteSize, Secret, choice},
};

choice! {
    /// When a commit counts as done.
    pub enum Durability {
        /// When it is on disk: no answered request is lost.
        Commit = "commit",
        /// When the operating system has it: a crash of the machine loses the last moments.
        Background = "background",
    }
}

settings! {
    /// The database: SurrealDB, embedded by default.
    pub struct Database {
        /// Where the database is: `rocksdb://PATH` (embedded), `ws://HOST:PORT` or
        /// `wss://HOST:PORT` (a SurrealDB server), `tikv://HOST:PORT` (when built in), `mem://`
        /// (tests; nothing is kept). Unset: embedded, in the folder `database` under `data_dir`.
        url: Option<String> = None,
        /// The SurrealDB namespace.
        namespace: String = "matryx".to_owned(),
        /// The SurrealDB database within the namespace.
        name: String = "matryx".to_owned(),
        /// User name on a remote SurrealDB server.
        username: Option<String> = None,
        /// Password on a remote SurrealDB server.
        password: Option<Secret> = None,
        /// When a request is answered: `commit` once its changes are on disk, `background` once
        /// the operating system has them, so that a crash of the machine loses the last moments.
        /// Embedded databases only.
        durability: Durability = Durability::Commit,
        /// Memory for blocks read from disk. Embedded databases only.
        block_cache: ByteSize = ByteSize::mib(64),
        /// Size of one buffer for writes before it goes to disk. Embedded databases only.
        write_buffer: ByteSize = ByteSize::mib(16),
        /// Number of buffers for writes; with `write_buffer` this bounds their memory. Embedded
        /// databases only.
        write_buffers: u32 = 2,
    }
}
