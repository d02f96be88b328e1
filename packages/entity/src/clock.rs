//! Time as a parameter.

use ruma::MilliSecondsSinceUnixEpoch;

/// Tells the time. The server passes the system's clock, tests one that they set.
pub trait Clock: Send + Sync + std::fmt::Debug + 'static {
    /// The time now.
    fn now(&self) -> MilliSecondsSinceUnixEpoch;
}
