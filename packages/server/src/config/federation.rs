//! `federation.*`

use ipnet::IpNet;
use ruma::OwnedServerName;

use super::{outbound::private_ranges, setting::settings};

settings! {
    /// Other homeservers.
    pub struct Federation {
        /// Address ranges to which requests to other homeservers never go. No effect yet: there are no
        /// such requests.
        deny_ip_ranges: Vec<IpNet> = private_ranges(),
        /// Servers that are asked for the keys of servers which cannot be reached. May be empty. No effect
        /// yet: there is no federation.
        trusted_key_servers: Vec<OwnedServerName> = Vec::new(),
    }
}
