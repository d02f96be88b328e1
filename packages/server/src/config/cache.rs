//! `cache.*`

use super::{setting::settings, value::ByteSize};

settings! {
    /// Bounds of what is kept in memory. A small cache is correct, only slower.
    pub struct Cache {
        /// Memory for rooms: their current state and latest events.
        rooms: ByteSize = ByteSize::mib(64),
        /// Memory for users: their memberships and account data.
        users: ByteSize = ByteSize::mib(24),
        /// Memory for read receipts.
        receipts: ByteSize = ByteSize::mib(8),
        /// Memory for the keys of users and their devices.
        user_keys: ByteSize = ByteSize::mib(16),
        /// Access tokens that are kept.
        access_tokens: u32 = 50_000,
    }
}
