//! `http.*`

use std::time::Duration;

use ipnet::IpNet;

use super::{setting::settings, value::ByteSize};

settings! {
    /// Bounds and trust of the HTTP listeners.
    pub struct Http {
        /// Largest request body that is read; larger ones are refused with `M_TOO_LARGE`. Media
        /// uploads have a bound of their own.
        max_body: ByteSize = ByteSize::mib(8),
        /// Longest time for the headers of a request to arrive, and so for a connection to stay
        /// open without one.
        header_timeout: Duration = Duration::from_mins(1),
        /// Longest time for a request to be answered, the waiting of a long poll not counted.
        request_timeout: Duration = Duration::from_mins(1),
        /// Longest wait that a client may ask for in `/sync`.
        max_sync_timeout: Duration = Duration::from_mins(2),
        /// Connections that are open at once on all listeners; further ones wait.
        max_connections: u32 = 8192,
        /// Longest time for open requests to finish when the server is told to stop.
        shutdown_timeout: Duration = Duration::from_secs(5),
        /// Proxies in front of the server whose `X-Forwarded-For` is believed.
        trusted_proxies: Vec<IpNet> = Vec::new(),
    }
}
