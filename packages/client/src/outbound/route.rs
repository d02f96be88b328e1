//! Where a request goes.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// An address or a name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// An address.
    Ip(IpAddr),
    /// A name, in lower case and without a final dot.
    Name(String),
}

impl Host {
    /// Reads a host as it stands in a URI or in a server name, IPv6 addresses in brackets.
    pub fn parse(text: &str) -> Self {
        let inner = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'));
        if let Some(Ok(address)) = inner.map(str::parse::<Ipv6Addr>) {
            return Self::Ip(address.into());
        }
        match text.parse::<Ipv4Addr>() {
            Ok(address) => Self::Ip(address.into()),
            Err(_not_an_address) => Self::Name(text.trim_end_matches('.').to_ascii_lowercase()),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V6(address)) => write!(formatter, "[{address}]"),
            Self::Ip(address) => address.fmt(formatter),
            Self::Name(name) => formatter.write_str(name),
        }
    }
}

/// A host and a port to connect to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// The host.
    pub host: Host,
    /// The port.
    pub port: u16,
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.host, self.port)
    }
}

/// A way to a server over TLS. Requests of the same route share connections.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Route {
    /// What the `Host` header says, or `:authority` in HTTP/2.
    pub authority: String,
    /// Whom the certificate must be for.
    pub name: Host,
    /// Where to connect to; the first that can be reached counts.
    pub targets: Vec<Target>,
}

impl Route {
    /// A way to one host and port, as in a URL.
    pub fn direct(authority: impl Into<String>, host: Host, port: u16) -> Self {
        Self {
            authority: authority.into(),
            name: host.clone(),
            targets: vec![Target { host, port }],
        }
    }

    /// The beginning of a URL on this route, without a slash at its end.
    pub fn base_url(&self) -> String {
        format!("https://{}", self.authority)
    }
}
