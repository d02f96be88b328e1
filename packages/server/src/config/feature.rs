//! Switches of single features: `presence.*`, `guests.*`, `media.*`, `room_directory.*`.

use std::time::Duration;

use ipnet::IpNet;

use super::{outbound::private_ranges, setting::settings, value::choice};

choice! {
    /// Who may publish a room in the room directory.
    pub enum Publication {
        /// Every member with the power to change the room's canonical alias.
        Members = "members",
        /// Server administrators only.
        Administrators = "administrators",
        /// Nobody.
        Nobody = "nobody",
    }
}

settings! {
    /// Who is online.
    pub struct Presence {
        /// Whether users see each other's presence.
        enabled: bool = true,
        /// How long after its last request a client counts as gone.
        offline_after: Duration = Duration::from_secs(15),
        /// After how long without an act a user is idle.
        idle_after: Duration = Duration::from_mins(5),
    }
}

settings! {
    /// Guest accounts.
    pub struct Guests {
        /// Whether anyone can get a guest account.
        enabled: bool = false,
    }
}

settings! {
    /// Media.
    pub struct Media {
        /// Whether media can be fetched without an access token, at the old endpoints. No effect
        /// yet: media is not served.
        legacy_unauthenticated: bool = false,
        /// Address ranges to which requests for other servers' media and for previews of web pages
        /// never go. No effect yet: there are no such requests.
        deny_ip_ranges: Vec<IpNet> = private_ranges(),
    }
}

settings! {
    /// The public room directory.
    pub struct RoomDirectory {
        /// Who may publish rooms.
        publication: Publication = Publication::Members,
    }
}
