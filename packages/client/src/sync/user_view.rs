//! What one local user sees beside the rooms themselves: memberships, account data, push rules.

use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use matryx_entity::{
    account_data::AccountData, member::Member, position::Position, push::PushRules,
    room_no::RoomNo, token::SyncToken,
};
use ruma::{
    OwnedRoomId, OwnedUserId, RoomId, UserId,
    events::{
        ignored_user_list::IgnoredUserListEventContent,
        invite_permission_config::{InvitePermissionAction, InvitePermissionConfigEventContent},
        room::member::MembershipState,
    },
};

use super::cache::Weigh;

/// The account data of one place (the account, or one room), by event type.
pub type AccountDataByKind = OrdMap<String, Arc<AccountData>>;

/// One user's view at one moment. Immutable; the maps share structure with the view before.
#[derive(Clone, Debug)]
pub struct UserView {
    /// Whose.
    pub user: OwnedUserId,
    /// All membership records, also of rooms that the user left.
    pub members: OrdMap<RoomNo, Arc<Member>>,
    /// Global account data.
    pub account_data: AccountDataByKind,
    /// Account data of rooms.
    pub room_account_data: OrdMap<OwnedRoomId, AccountDataByKind>,
    /// The push rules: the stored ones, or the server's defaults.
    pub push_rules: Arc<PushRules>,
    /// Whose events the user does not want to see.
    pub ignored: OrdSet<OwnedUserId>,
    /// Does the user want no invites at all?
    /// [Spec](https://spec.matrix.org/v1.19/client-server-api/#minvite_permission_config)
    pub blocks_invites: bool,
    /// The newest position in any of the records.
    pub(crate) newest: SyncToken,
}

impl UserView {
    /// A user without any records.
    pub fn empty(user: &UserId) -> Self {
        Self {
            user: user.to_owned(),
            members: OrdMap::new(),
            account_data: OrdMap::new(),
            room_account_data: OrdMap::new(),
            push_rules: Arc::new(PushRules::server_default(user)),
            ignored: OrdSet::new(),
            blocks_invites: false,
            newest: SyncToken::start(),
        }
    }

    /// The user's membership record of a room.
    pub fn member(&self, room: RoomNo) -> Option<&Arc<Member>> {
        self.members.get(&room)
    }

    /// The user's membership of a room.
    pub fn membership(&self, room: RoomNo) -> MembershipState {
        self.member(room)
            .map_or(MembershipState::Leave, |member| member.membership.clone())
    }

    /// The rooms that the user is joined to.
    pub fn joined(&self) -> impl Iterator<Item = &Arc<Member>> {
        self.members
            .values()
            .filter(|member| member.membership == MembershipState::Join)
    }

    /// One piece of account data.
    pub fn account_data(&self, room: Option<&RoomId>, kind: &str) -> Option<&Arc<AccountData>> {
        match room {
            None => self.account_data.get(kind),
            Some(room) => self.room_account_data.get(room)?.get(kind),
        }
    }

    /// Puts a membership record in place.
    ///
    /// The writer of a record could not know the position at which the membership changed: that is
    /// this one's if the membership changed with its event, otherwise that of the record before.
    /// It stays zero if that one is not known either.
    pub(crate) fn set_member(&mut self, mut member: Arc<Member>) {
        let last = member.spans.last();
        let changed_with_event = member.pos == 0 || last.is_none_or(|(pos, _)| *pos == member.pos);
        let since = if changed_with_event {
            member.at
        } else if member.since.seq == 0 {
            let before = self.members.get(&member.room);
            before.map(|before| before.since).unwrap_or_default()
        } else {
            member.since
        };
        if since != member.since {
            Arc::make_mut(&mut member).since = since;
        }
        self.note(member.at);
        self.members.insert(member.room, member);
    }

    /// Puts account data in place.
    pub(crate) fn set_account_data(&mut self, data: Arc<AccountData>) {
        self.note(data.at);
        if let Some(room) = &data.room {
            let kinds = self.room_account_data.entry(room.clone()).or_default();
            kinds.insert(data.kind.clone(), data);
        } else {
            self.derive(&data);
            self.account_data.insert(data.kind.clone(), data);
        }
    }

    /// Takes account data away.
    pub(crate) fn remove_account_data(&mut self, room: Option<&RoomId>, kind: &str, at: Position) {
        self.note(at);
        if let Some(room) = room {
            if let Some(kinds) = self.room_account_data.get_mut(room) {
                kinds.remove(kind);
            }
            return;
        }
        self.account_data.remove(kind);
        self.derive(&AccountData {
            user: self.user.clone(),
            room: None,
            kind: kind.to_owned(),
            content: String::new(),
            at,
        });
    }

    fn note(&mut self, at: Position) {
        self.newest.advance(at);
    }

    /// Keeps the parsed form of what the server itself reads.
    fn derive(&mut self, data: &AccountData) {
        match data.kind.as_str() {
            "m.push_rules" => {
                let rules = PushRules::from_account_data(&self.user, &data.content);
                self.push_rules = Arc::new(rules);
            }
            "m.ignored_user_list" => {
                self.ignored = serde_json::from_str::<IgnoredUserListEventContent>(&data.content)
                    .map(|content| content.ignored_users.into_keys().collect())
                    .unwrap_or_default();
                self.ignored.remove(&self.user);
            }
            "m.invite_permission_config" => {
                let config =
                    serde_json::from_str::<InvitePermissionConfigEventContent>(&data.content);
                let action = config.ok().and_then(|config| config.default_action);
                self.blocks_invites = action == Some(InvitePermissionAction::Block);
            }
            _ => {}
        }
    }
}

impl Weigh for UserView {
    fn weigh(&self) -> u64 {
        let rooms: usize = self.room_account_data.values().map(OrdMap::len).sum();
        let records = self.members.len() * 600 + (self.account_data.len() + rooms) * 400;
        let rules = if self.push_rules.are_changed() {
            16_384
        } else {
            0
        };
        (1024 + records + rules) as u64
    }
}
