//! Logins and logouts: a session that was ended must not come back.

use super::ledger::{Account, Ledger};
use super::writers::{PASSWORD, Stop, call};
use crate::wire::{Call, Wire, text};
use serde_json::json;

/// Where a login goes.
pub(crate) const LOGIN: &str = "/_matrix/client/v3/login";

/// A session that a login opened.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) owner: Account,
    pub(crate) device_id: String,
    pub(crate) token: String,
    pub(crate) end: End,
}

/// Whether a session was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Nobody asked.
    No,
    /// Asked, not answered: both outcomes are right.
    Asked,
    /// Acknowledged.
    Done,
}

impl Session {
    /// Whether the session's token may get this status.
    pub(crate) fn may_answer(&self, status: u16) -> bool {
        match self.end {
            End::No => status == 200,
            End::Asked => [200, 401].contains(&status),
            End::Done => status == 401,
        }
    }

    /// Whether the device may be among the account's devices, or missing there.
    pub(crate) fn may_be_listed(&self, listed: bool) -> bool {
        match self.end {
            End::No => listed,
            End::Asked => true,
            End::Done => !listed,
        }
    }
}

/// Logs in again and again, and out of every other session.
pub(crate) async fn open_and_end(
    wire: &mut Wire,
    ledger: &mut Ledger,
    owner: Account,
) -> Result<(), Stop> {
    let login = json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": owner.localpart },
        "password": PASSWORD,
    });
    for n in 0.. {
        wire.clear_token();
        let answer = call(wire, Call::post(LOGIN, &login)).await?;
        let token = text(&answer, "access_token")?;
        ledger.sessions.push(Session {
            owner: owner.clone(),
            device_id: text(&answer, "device_id")?,
            token: token.clone(),
            end: End::No,
        });
        let Some(session) = ledger.sessions.last_mut().filter(|_| n % 2 == 0) else {
            continue;
        };
        wire.set_token(token);
        session.end = End::Asked;
        call(wire, Call::post("/_matrix/client/v3/logout", &json!({}))).await?;
        session.end = End::Done;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(end: End) -> Session {
        Session {
            owner: Account {
                localpart: "a".to_owned(),
                user_id: "@a:localhost".to_owned(),
                token: String::new(),
            },
            device_id: "D".to_owned(),
            token: "t".to_owned(),
            end,
        }
    }

    #[test]
    fn an_ended_session_stays_ended_and_an_open_one_open() {
        assert!(!session(End::Done).may_answer(200));
        assert!(!session(End::Done).may_be_listed(true));
        assert!(!session(End::No).may_answer(401));
        assert!(!session(End::No).may_be_listed(false));
        assert!(session(End::Asked).may_answer(200) && session(End::Asked).may_answer(401));
    }
}
