//! What is noted about a request while it is served, for its line in the log and its metrics.

use std::sync::{Arc, OnceLock};

use ruma::{OwnedServerName, OwnedUserId, ServerName, UserId};

/// Notes about one request, shared between the outermost layer and the extractor.
#[derive(Clone, Debug, Default)]
pub(super) struct RequestRecord(Arc<Notes>);

#[derive(Debug, Default)]
struct Notes {
    user: OnceLock<OwnedUserId>,
    origin: OnceLock<OwnedServerName>,
}

impl RequestRecord {
    /// Notes who called; the first note stays.
    pub(super) fn set_user(&self, user: Option<&UserId>) {
        if let Some(user) = user {
            self.0.user.get_or_init(|| user.to_owned());
        }
    }

    /// Notes which server called.
    pub(super) fn set_origin(&self, origin: &ServerName) {
        self.0.origin.get_or_init(|| origin.to_owned());
    }

    /// Which server called, once that is proved.
    pub(super) fn origin(&self) -> Option<&ServerName> {
        self.0.origin.get().map(|origin| &**origin)
    }

    /// Who called, once that is proved.
    pub(super) fn user(&self) -> Option<&UserId> {
        self.0.user.get().map(|user| &**user)
    }
}
