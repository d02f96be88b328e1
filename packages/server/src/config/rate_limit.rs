//! `rate_limit.*`

use super::{setting::settings, value::Rate};

settings! {
    /// Rate limits. Application services are exempt where their registration says so.
    pub struct RateLimit {
        /// The switch for all limits.
        enabled: bool = true,
        /// Logins: failed ones for each account and address from which they are tried, others for
        /// each account.
        login: Rate = Rate::per(20, 60),
        /// Registrations, for each address.
        registration: Rate = Rate::per(20, 60),
        /// Events sent, for each user.
        send: Rate = Rate::per(200, 10),
        /// Rooms created, for each user.
        create_room: Rate = Rate::per(20, 60),
        /// Joins and knocks, for each user.
        join: Rate = Rate::per(60, 60),
        /// Invites, for each user that invites.
        invite: Rate = Rate::per(60, 60),
        /// Invites of users of this server, for each server that sends them.
        invite_from_server: Rate = Rate::per(300, 60),
    }
}
