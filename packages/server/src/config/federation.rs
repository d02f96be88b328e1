//! `federation.*`

use std::time::Duration;

use ipnet::IpNet;
use ruma::OwnedServerName;

use super::{outbound::private_ranges, public_key::PublicKey, setting::settings};

settings! {
    /// Other homeservers.
    pub struct Federation {
        /// Address ranges to which requests to other homeservers never go, whatever name led there.
        /// An IPv4 range also holds for its addresses in IPv6 form (mapped, NAT64, 6to4, Teredo).
        deny_ip_ranges: Vec<IpNet> = private_ranges(),
        /// Servers that are asked for the keys of servers which cannot be reached; the first two
        /// count. May be empty.
        trusted_key_servers: Vec<OwnedServerName> = Vec::new(),
        /// Whether other servers learn the names that users gave their devices.
        allow_device_names: bool = false,
        /// Public signing keys, in base64, that nothing is believed of: neither requests nor events.
        banned_keys: Vec<PublicKey> = Vec::new(),
        tables {
            retry: Retry,
        }
    }
}

settings! {
    /// How long a server that does not answer is left alone. The wait doubles with every failure,
    /// and ends at once when that server sends something.
    pub struct Retry {
        /// The wait after the first failure.
        first: Duration = Duration::from_secs(1),
        /// The longest wait.
        longest: Duration = Duration::from_hours(1),
    }
}
