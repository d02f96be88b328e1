//! Where a request came from.

use std::net::{IpAddr, Ipv4Addr};

use http::{HeaderMap, header, request::Parts};
use ipnet::IpNet;

use crate::caller::Remote;

/// The most of a `User-Agent` that is kept.
const MAX_USER_AGENT: usize = 256;

/// The address that a connection came from, or that a trusted proxy named. Set on every request
/// by the listener.
#[derive(Clone, Copy, Debug)]
pub struct RemoteAddr(pub IpAddr);

impl RemoteAddr {
    /// The client's address: the peer's own, unless the peer is a trusted proxy. Then it is the
    /// last address of `X-Forwarded-For` that is not a trusted proxy's.
    ///
    /// What an untrusted peer claims is never looked at; what can't be parsed ends the search.
    pub fn resolve(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> Self {
        let is_trusted = |ip: IpAddr| trusted.iter().any(|net| net.contains(&ip.to_canonical()));
        let mut client = peer.to_canonical();
        if !is_trusted(client) {
            return Self(client);
        }
        let values: Vec<&str> = headers
            .get_all("x-forwarded-for")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .collect();
        for hop in values.iter().rev().flat_map(|value| value.rsplit(',')) {
            let Ok(ip) = hop.trim().parse::<IpAddr>() else {
                break;
            };
            client = ip.to_canonical();
            if !is_trusted(client) {
                break;
            }
        }
        Self(client)
    }
}

pub(super) fn remote(parts: &Parts) -> Remote {
    let ip = parts
        .extensions
        .get::<RemoteAddr>()
        .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |addr| addr.0);
    let user_agent = parts
        .headers
        .get(header::USER_AGENT)
        .and_then(|value| value.to_str().ok())
        .map(|value| value.chars().take(MAX_USER_AGENT).collect());
    Remote { ip, user_agent }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(peer: &str, forwarded: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        RemoteAddr::resolve(peer.parse().unwrap(), &headers, &trusted)
            .0
            .to_string()
    }

    #[test]
    fn believes_only_trusted_proxies() {
        assert_eq!(resolve("1.2.3.4", &["9.9.9.9"]), "1.2.3.4");
        assert_eq!(resolve("10.0.0.1", &["9.9.9.9"]), "9.9.9.9");
        assert_eq!(resolve("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(resolve("::ffff:10.0.0.1", &["9.9.9.9"]), "9.9.9.9");
    }

    #[test]
    fn takes_the_last_address_that_no_proxy_of_ours_has() {
        assert_eq!(
            resolve("10.0.0.1", &["6.6.6.6, 9.9.9.9, 10.0.0.2"]),
            "9.9.9.9"
        );
        assert_eq!(resolve("10.0.0.1", &["6.6.6.6", "9.9.9.9"]), "9.9.9.9");
        assert_eq!(resolve("10.0.0.1", &["6.6.6.6, garbage"]), "10.0.0.1");
        assert_eq!(resolve("10.0.0.1", &["", ",,"]), "10.0.0.1");
    }
}
