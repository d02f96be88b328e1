//! `tls.*`, `push.*` and `appservice.*`: what outgoing requests trust and where they may go.

use std::path::PathBuf;

use ipnet::IpNet;

use super::setting::settings;

/// Address ranges that are not on the public internet: what a stranger must not make us reach.
const PRIVATE_RANGES: [&str; 19] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/3",
    "::/127",
    "2001:db8::/32",
    "fc00::/7",
    "fe80::/10",
    "ff00::/8",
];

/// The default deny-list.
pub(super) fn private_ranges() -> Vec<IpNet> {
    PRIVATE_RANGES
        .iter()
        .filter_map(|range| range.parse().ok())
        .collect()
}

settings! {
    /// Trust of outgoing HTTPS.
    pub struct TlsTrust {
        /// Files with certificates of authorities (PEM) that are trusted besides the system's.
        extra_ca_files: Vec<PathBuf> = Vec::new(),
    }
}

settings! {
    /// Push gateways.
    pub struct Push {
        /// Address ranges to which requests to push gateways never go. No effect yet: there are no such
        /// requests.
        deny_ip_ranges: Vec<IpNet> = private_ranges(),
    }
}

settings! {
    /// Application services.
    pub struct Appservices {
        /// Folder with the registrations of application services, one YAML file each. Unset: none.
        dir: Option<PathBuf> = None,
        /// Address ranges to which requests to application services never go. Empty by default, as
        /// they usually run beside the server. No effect yet: there are no such requests.
        deny_ip_ranges: Vec<IpNet> = Vec::new(),
    }
}
