//! `listen`: the addresses on which the server listens.

use std::{fmt, net::SocketAddr, path::PathBuf};

use toml::Value;

use super::setting::Setting;

/// What a listener serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// The client-server API, with the server's well-known files.
    Client,
    /// The server-server API.
    Federation,
    /// Media.
    Media,
    /// The administration API.
    Admin,
    /// Prometheus metrics.
    Metrics,
}

impl Service {
    /// All services with their names.
    pub const ALL: [(Self, &'static str); 5] = [
        (Self::Client, "client"),
        (Self::Federation, "federation"),
        (Self::Media, "media"),
        (Self::Admin, "admin"),
        (Self::Metrics, "metrics"),
    ];
}

/// A certificate with its key, both in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// File with the certificate chain.
    pub certificate: PathBuf,
    /// File with the private key.
    pub key: PathBuf,
}

/// One address on which the server listens, written
/// `WHAT=IP:PORT[,tls=CERT:KEY]`, for example `client+media=127.0.0.1:8008`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// What is served here; never empty, no service twice.
    pub services: Vec<Service>,
    /// The address; port 0 takes a free one.
    pub address: SocketAddr,
    /// TLS, when the listener does it itself.
    pub tls: Option<Tls>,
}

impl Listener {
    /// True when this listener serves `service`.
    pub fn serves(&self, service: Service) -> bool {
        self.services.contains(&service)
    }

    fn from_text(text: &str) -> Result<Self, String> {
        let shape = || format!("`{text}` is not a listener; write WHAT=IP:PORT[,tls=CERT:KEY]");
        let (what, place) = text.split_once('=').ok_or_else(shape)?;
        let (address, tls) = match place.split_once(",tls=") {
            Some((address, tls)) => (address, Some(tls)),
            None => (place, None),
        };
        let mut services = Vec::new();
        for word in what.split('+').map(str::trim) {
            let found = Service::ALL.iter().find(|(_, name)| *name == word);
            let (service, _) = found.ok_or_else(|| {
                let names = Service::ALL.map(|(_, name)| name).join(", ");
                format!("`{word}` is not one of: {names}")
            })?;
            if services.contains(service) {
                return Err(format!("`{text}` names `{word}` twice"));
            }
            services.push(*service);
        }
        let address = address.trim().parse().map_err(|error| {
            format!("`{address}` is not an address such as 127.0.0.1:8008: {error}")
        })?;
        let tls = match tls.map(|files| files.split_once(':')) {
            None => None,
            Some(Some((certificate, key))) if !certificate.is_empty() && !key.is_empty() => {
                Some(Tls {
                    certificate: certificate.into(),
                    key: key.into(),
                })
            }
            Some(_) => return Err(format!("`{text}`: write the files as tls=CERT:KEY")),
        };
        Ok(Self {
            services,
            address,
            tls,
        })
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name =
            |(service, name): &(Service, &'static str)| self.serves(*service).then_some(*name);
        let names = Service::ALL.iter().filter_map(name).collect::<Vec<_>>();
        write!(formatter, "{}={}", names.join("+"), self.address)?;
        match &self.tls {
            Some(tls) => {
                write!(
                    formatter,
                    ",tls={}:{}",
                    tls.certificate.display(),
                    tls.key.display()
                )
            }
            None => Ok(()),
        }
    }
}

impl Setting for Listener {
    // A listener holds commas and equals signs, never blanks.
    const SEPARATOR: char = ' ';

    fn type_name() -> String {
        "WHAT=IP:PORT[,tls=CERT:KEY]".to_owned()
    }
    fn read(value: &Value) -> Result<Self, String> {
        let text = value.as_str();
        text.map_or_else(
            || Err(format!("expected text in quotes, found {value}")),
            Self::from_text,
        )
    }
    fn write(&self) -> Option<Value> {
        Some(Value::String(self.to_string()))
    }
}
