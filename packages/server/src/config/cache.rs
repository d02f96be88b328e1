//! `cache.*`

use super::setting::settings;

settings! {
    /// Bounds of what is kept in memory. A small cache is correct, only slower.
    pub struct Cache {
        /// Rooms whose current state and latest events are kept.
        rooms: u32 = 2000,
        /// Users whose rooms, account data and read positions are kept.
        users: u32 = 5000,
        /// Access tokens that are kept.
        access_tokens: u32 = 50_000,
    }
}
