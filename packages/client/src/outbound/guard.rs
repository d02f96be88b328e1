//! Which addresses requests may go to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use metrics::counter;

use super::OutboundError;

/// A list of address ranges to which nothing is ever sent.
///
/// An IPv4 address is the same address when it is wrapped into an IPv6 one: mapped, compatible,
/// behind NAT64, 6to4 or Teredo. A range of IPv4 denies all of these.
#[derive(Clone, Debug, Default)]
pub struct AddressGuard {
    denied: Vec<IpNet>,
}

impl AddressGuard {
    /// Denies these ranges.
    pub fn new(denied: Vec<IpNet>) -> Self {
        Self { denied }
    }

    /// Fails for an address of a denied range.
    ///
    /// # Errors
    /// [`OutboundError::Denied`]
    pub fn check(&self, address: IpAddr) -> Result<(), OutboundError> {
        let is_denied = |address: IpAddr| self.denied.iter().any(|range| range.contains(&address));
        let wrapped = match address {
            IpAddr::V4(_) => [None; 2],
            IpAddr::V6(address) => wrapped_in(address),
        };
        let mut meanings =
            std::iter::once(address).chain(wrapped.into_iter().flatten().map(IpAddr::V4));
        if meanings.any(is_denied) {
            counter!("matryx_outbound_denied_total").increment(1);
            return Err(OutboundError::Denied(address));
        }
        Ok(())
    }
}

/// The IPv4 addresses that packets to this one may end up at: one, or for Teredo the server and
/// the client.
fn wrapped_in(address: Ipv6Addr) -> [Option<Ipv4Addr>; 2] {
    let bits = address.to_bits();
    let at = |shift: u32| {
        let part = u32::try_from((bits >> shift) & u128::from(u32::MAX));
        part.ok().map(Ipv4Addr::from_bits)
    };
    match address.segments() {
        // ::/96 compatible, ::ffff:0:0/96 mapped, ::ffff:0:0:0/96 translated (RFC 2765),
        // 64:ff9b::/96 NAT64 (RFC 6052).
        [0, 0, 0, 0, 0, 0 | 0xffff, ..]
        | [0, 0, 0, 0, 0xffff, 0, ..]
        | [0x64, 0xff9b, 0, 0, 0, 0, ..] => [at(0), None],
        // 64:ff9b:1::/48 local NAT64 (RFC 8215), whose prefix may have 48 or 96 bits; eight bits
        // in the middle of the address are not used.
        [0x64, 0xff9b, 1, high, middle, low, ..] => {
            let low = u32::from(middle & 0xff) << 8 | u32::from(low >> 8);
            [
                at(0),
                Some(Ipv4Addr::from_bits(u32::from(high) << 16 | low)),
            ]
        }
        // 2002::/16 6to4 (RFC 3056).
        [0x2002, ..] => [at(80), None],
        // 2001::/32 Teredo (RFC 4380): the client's address has its bits inverted.
        [0x2001, 0, ..] => [at(64), at(0).map(|client| !client)],
        _ => [None; 2],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(denied: &[&str], address: &str) -> bool {
        let denied = denied.iter().map(|range| range.parse().unwrap());
        let guard = AddressGuard::new(denied.collect());
        guard.check(address.parse().unwrap()).is_ok()
    }

    #[test]
    fn denies_an_address_in_every_disguise() {
        for address in [
            "127.0.0.1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "::ffff:0:127.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b:1::127.0.0.1",
            "64:ff9b:1:7f00:0:100::",
            "2002:7f00:1::",
            "2001:0:7f00:1::",
            "2001:0:808:808:0:0:80ff:fffe",
        ] {
            assert!(!allows(&["127.0.0.0/8"], address), "{address}");
            assert!(allows(&["10.0.0.0/8"], address), "{address}");
            assert!(allows(&[], address), "{address}");
        }
    }

    #[test]
    fn allows_what_no_range_has() {
        let denied = ["127.0.0.0/8", "169.254.0.0/16", "fc00::/7", "::/127"];
        for address in ["1.1.1.1", "128.0.0.1", "2606:4700::1", "64:ff9b::1.1.1.1"] {
            assert!(allows(&denied, address), "{address}");
        }
        for address in ["169.254.169.254", "::1", "::", "fd00::1"] {
            assert!(!allows(&denied, address), "{address}");
        }
    }
}
