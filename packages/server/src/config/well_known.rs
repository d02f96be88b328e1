//! `well_known.*`

use ruma::OwnedUserId;

use super::{setting::settings, value::choice};

choice! {
    /// What a support contact is for.
    pub enum ContactRole {
        /// General questions.
        Admin = "m.role.admin",
        /// Security questions.
        Security = "m.role.security",
    }
}

settings! {
    /// Someone to ask, at `/.well-known/matrix/support`; give a user id, an e-mail address or both.
    pub struct Contact {
        /// What the contact is for.
        role: ContactRole = ContactRole::Admin,
        /// Matrix user to ask.
        matrix_id: Option<OwnedUserId> = None,
        /// E-mail address to ask.
        email_address: Option<String> = None,
    }
}

settings! {
    /// The files under `/.well-known/matrix/`. Each is served once it has a content.
    pub struct WellKnown {
        /// Address at which clients reach the server, for `/.well-known/matrix/client`.
        client_base_url: Option<http::Uri> = None,
        /// `HOST:PORT` at which other servers reach the server, for `/.well-known/matrix/server`.
        server: Option<String> = None,
        /// Web page with help, for `/.well-known/matrix/support`.
        support_page: Option<http::Uri> = None,
        /// People to ask, for `/.well-known/matrix/support`.
        support_contacts: Vec<Contact> = Vec::new(),
    }
}
