//! Push rules: does an event notify a user, and how loudly?
//!
//! Rules, rule sets and their editing are Ruma's; the evaluation is ours, because it must be
//! bounded whatever the pattern (see [`crate::glob`]) and cheap for many users at once. An event
//! is flattened once ([`PushEvent`]); users with the rules that the server gave them share one
//! evaluation, unless the event is about them.
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#push-rules)

pub mod edit;
mod flat;
mod matching;

use std::{borrow::Cow, sync::OnceLock};

use ruma::{
    OwnedUserId, UserId,
    events::StateEventType,
    push::{Action, Ruleset},
    user_id,
};
use serde::Deserialize;

use self::{flat::FlatEvent, matching::matching_actions};
use crate::{pdu::Pdu, power::Power, room_snapshot::RoomSnapshot};

/// What an event does for one user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PushOutcome {
    /// It counts as a notification.
    pub notify: bool,
    /// It counts as a highlight.
    pub highlight: bool,
}

impl PushOutcome {
    fn of(actions: &[Action]) -> Self {
        Self {
            notify: actions.iter().any(Action::should_notify),
            highlight: actions.iter().any(Action::is_highlight),
        }
    }
}

/// A user's rules, ready for evaluation.
#[derive(Clone, Debug)]
pub struct PushRules {
    user: OwnedUserId,
    /// What the user has made of the server's rules. Most users change nothing, and a set of rules
    /// is larger than the rest of what is kept of a user.
    own: Option<Box<Ruleset>>,
}

impl PushRules {
    /// The rules of a user who has never changed any.
    pub fn server_default(user: &UserId) -> Self {
        Self {
            user: user.to_owned(),
            own: None,
        }
    }

    /// The rules of a user, as stored.
    pub fn new(user: &UserId, ruleset: Ruleset) -> Self {
        let plain = same(&ruleset, &Ruleset::server_default(user));
        Self {
            user: user.to_owned(),
            own: (!plain).then(|| Box::new(ruleset)),
        }
    }

    /// The rules of a user, from the content of their `m.push_rules` account data; the server's
    /// rules where that can't be read.
    pub fn from_account_data(user: &UserId, content: &str) -> Self {
        #[derive(Deserialize)]
        struct Content {
            global: Ruleset,
        }
        match serde_json::from_str::<Content>(content) {
            Ok(Content { global }) => {
                // Rules that newer versions of the server added, and none that they dropped.
                let mut ruleset = global;
                ruleset.update_with_server_default(Ruleset::server_default(user));
                Self::new(user, ruleset)
            }
            Err(_) => Self::server_default(user),
        }
    }

    /// The rules themselves.
    pub fn ruleset(&self) -> Cow<'_, Ruleset> {
        match &self.own {
            Some(own) => Cow::Borrowed(own),
            None => Cow::Owned(Ruleset::server_default(&self.user)),
        }
    }

    /// Did the user change anything?
    pub fn are_changed(&self) -> bool {
        self.own.is_some()
    }
}

/// Whose rules stand for those of everybody whom an event is not about.
fn nobody() -> &'static UserId {
    user_id!("@nobody:matryx.invalid")
}

/// The server's rules as those see them whom an event is not about.
fn common_rules() -> &'static Ruleset {
    static RULES: OnceLock<Ruleset> = OnceLock::new();
    RULES.get_or_init(|| Ruleset::server_default(nobody()))
}

/// Rule sets have no comparison that looks into the rules.
fn same(left: &Ruleset, right: &Ruleset) -> bool {
    match (serde_json::to_string(left), serde_json::to_string(right)) {
        (Ok(left), Ok(right)) => left == right,
        _ => false,
    }
}

/// An event and its room, prepared for any number of users.
#[derive(Debug)]
pub struct PushEvent<'a> {
    pdu: &'a Pdu,
    room: &'a RoomSnapshot,
    flat: FlatEvent,
    power: OnceLock<Option<Power<'a>>>,
    /// What the server's rules say for somebody whom the event is not about.
    plain: OnceLock<PushOutcome>,
}

impl<'a> PushEvent<'a> {
    /// Prepares an event; `room` is the room right after it.
    pub fn new(pdu: &'a Pdu, room: &'a RoomSnapshot) -> Self {
        Self {
            pdu,
            room,
            flat: FlatEvent::new(pdu),
            power: OnceLock::new(),
            plain: OnceLock::new(),
        }
    }

    /// What the event does for a user.
    pub fn outcome(&self, user: &UserId, rules: &PushRules) -> PushOutcome {
        if self.pdu.sender() == user {
            return PushOutcome::default();
        }
        let actions = |ruleset: &Ruleset| PushOutcome::of(matching_actions(ruleset, self, user));
        match &rules.own {
            Some(own) => actions(own),
            None if self.is_about(user) || self.is_about(nobody()) => actions(&rules.ruleset()),
            None => *self.plain.get_or_init(|| actions(common_rules())),
        }
    }

    /// The actions of the rule that matches first: none for the user's own events, and where no
    /// rule matches.
    pub fn actions(&self, user: &UserId, rules: &PushRules) -> Vec<Action> {
        if self.pdu.sender() == user {
            return Vec::new();
        }
        matching_actions(&rules.ruleset(), self, user).to_vec()
    }

    /// Can the server's rules, which differ between users only in the user's id, tell this user
    /// from others? They mention it in `m.mentions` and in the state key of an invitation.
    fn is_about(&self, user: &UserId) -> bool {
        self.pdu.state_key() == Some(user.as_str()) || self.flat.mentions(user)
    }

    fn power(&self) -> Option<&Power<'a>> {
        self.power.get_or_init(|| Power::of(self.room)).as_ref()
    }

    /// The name by which the room knows a user.
    fn display_name(&self, user: &UserId) -> String {
        #[derive(Deserialize)]
        struct Content {
            displayname: Option<String>,
        }
        self.room
            .get(&StateEventType::RoomMember, user.as_str())
            .and_then(|event| event.pdu.content_as::<Content>())
            .and_then(|content| content.displayname)
            .unwrap_or_else(|| user.localpart().to_owned())
    }
}
