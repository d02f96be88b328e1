//! `federation.*`

use ipnet::IpNet;
use ruma::OwnedServerName;

use super::{outbound::private_ranges, setting::settings};

settings! {
    /// Other homeservers.
    pub struct Federation {
        /// Address ranges to which requests to other homeservers never go.
        deny_ip_ranges: Vec<IpNet> = private_ranges(),
        /// Servers that are asked for the keys of servers which cannot be reached. May be empty.
        trusted_key_servers: Vec<OwnedServerName> = Vec::new(),
    }
}
