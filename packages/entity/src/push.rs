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

use std::sync::OnceLock;

use ruma::{
    UserId,
    events::StateEventType,
    push::{Action, Ruleset},
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
    ruleset: Ruleset,
    /// The user changed nothing: these are the server's rules.
    plain: bool,
}

impl PushRules {
    /// The rules of a user who has never changed any.
    pub fn server_default(user: &UserId) -> Self {
        Self {
            ruleset: Ruleset::server_default(user),
            plain: true,
        }
    }

    /// The rules of a user, as stored.
    pub fn new(user: &UserId, ruleset: Ruleset) -> Self {
        let plain = same(&ruleset, &Ruleset::server_default(user));
        Self { ruleset, plain }
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
    pub fn ruleset(&self) -> &Ruleset {
        &self.ruleset
    }
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
        if rules.plain && !self.is_about(user) {
            return *self
                .plain
                .get_or_init(|| PushOutcome::of(matching_actions(&rules.ruleset, self, user)));
        }
        PushOutcome::of(matching_actions(&rules.ruleset, self, user))
    }

    /// The actions of the rule that matches first: none for the user's own events, and where no
    /// rule matches.
    pub fn actions<'r>(&self, user: &UserId, rules: &'r PushRules) -> &'r [Action] {
        if self.pdu.sender() == user {
            return &[];
        }
        matching_actions(&rules.ruleset, self, user)
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
