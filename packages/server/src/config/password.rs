//! `password.*`

use super::{setting::settings, value::ByteSize};

settings! {
    /// Cost of a password hash (argon2id). Hashes already stored keep the cost they were made with.
    pub struct Argon2Cost {
        /// Memory that one hash takes.
        memory: ByteSize = ByteSize::mib(19),
        /// Passes over that memory.
        iterations: u32 = 2,
        /// Lanes.
        parallelism: u32 = 1,
    }
}

settings! {
    /// Passwords.
    pub struct Password {
        /// Hashes that are computed at once; further ones wait.
        max_concurrent_hashes: u32 = 2,
        tables { argon2: Argon2Cost }
    }
}
