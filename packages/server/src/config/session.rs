//! `session.*`

use std::time::Duration;

use super::setting::settings;

settings! {
    /// Lifetimes of tokens.
    pub struct Session {
        /// Lifetime of an access token of a client that uses refresh tokens.
        refreshable_access_token_lifetime: Duration = Duration::from_hours(1),
        /// Lifetime of an access token of a client that does not use refresh tokens. Unset: until
        /// logout.
        access_token_lifetime: Option<Duration> = None,
        /// Lifetime of a refresh token that is not used. Unset: until logout.
        refresh_token_lifetime: Option<Duration> = None,
        /// How long a client may take for user-interactive authentication.
        authentication_timeout: Duration = Duration::from_mins(15),
    }
}
