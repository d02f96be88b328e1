//! Which rooms a response must look at.

use std::{collections::BTreeMap, sync::Arc};

use matryx_entity::{
    filter_match::wants_room, member::Member, position::Position, receipt::Receipt, room_no::RoomNo,
};
use ruma::events::room::member::MembershipState;

use super::view::{Changes, View};
use crate::sync::index::Change;

/// Why a joined room is looked at.
#[derive(Debug, Default)]
pub(super) struct Touch {
    /// The receipts that moved; `None` if they must be looked for.
    pub(super) receipts: Option<Vec<Arc<Receipt>>>,
    /// There may be new events.
    pub(super) events: bool,
}

/// The rooms of a response, by section.
#[derive(Debug, Default)]
pub(super) struct Window {
    pub(super) joined: Vec<(Arc<Member>, Touch)>,
    pub(super) left: Vec<Arc<Member>>,
    pub(super) invited: Vec<Arc<Member>>,
    pub(super) knocked: Vec<Arc<Member>>,
}

impl Window {
    /// Finds them: without I/O, in the time of the changes or of the user's rooms.
    pub(super) fn find(view: &View<'_>, changes: Changes) -> Self {
        let mut window = Self::default();
        let joined = match changes {
            Some(changes) if !view.request.full_state => {
                let own = own_rooms(view, &changes);
                for member in own.into_iter().filter_map(|room| view.user.member(room)) {
                    window.place(view, member);
                }
                touched(view, changes)
            }
            _ => {
                for member in view.user.members.values() {
                    window.place(view, member);
                }
                everything(view)
            }
        };
        for (room, touch) in joined {
            if let Some(member) = view.user.member(room)
                && wants_room(&view.filter().room, &member.room_id)
            {
                window.joined.push((Arc::clone(member), touch));
            }
        }
        window
    }

    /// Puts a room that the user is not joined to into its section, if it is news.
    fn place(&mut self, view: &View<'_>, member: &Arc<Member>) {
        if member.forgotten || !wants_room(&view.filter().room, &member.room_id) {
            return;
        }
        let section = match member.membership {
            MembershipState::Invite if view.user.ignored.contains(&member.sender) => return,
            MembershipState::Invite if view.is_new(member.at) => &mut self.invited,
            MembershipState::Knock if view.is_new(member.at) => &mut self.knocked,
            MembershipState::Leave | MembershipState::Ban if view.is_new(member.since) => {
                if view.since.is_none() && !view.filter().room.include_leave {
                    return;
                }
                &mut self.left
            }
            _ => return,
        };
        section.push(Arc::clone(member));
    }
}

/// The rooms of which the user's own membership may have changed.
fn own_rooms(view: &View<'_>, changes: &[(Position, Change)]) -> Vec<RoomNo> {
    let user = &view.user.user;
    let mut rooms: Vec<RoomNo> = changes
        .iter()
        .filter_map(|(_, change)| match change {
            Change::Event {
                room,
                member: Some(member),
                ..
            } if member == user => Some(*room),
            Change::Member { user: member, room } if member == user => Some(*room),
            _ => None,
        })
        .collect();
    rooms.sort_unstable();
    rooms.dedup();
    rooms
}

/// The joined rooms in which something happened.
fn touched(view: &View<'_>, changes: Vec<(Position, Change)>) -> BTreeMap<RoomNo, Touch> {
    let mut rooms = BTreeMap::<RoomNo, Touch>::new();
    let is_joined = |room: RoomNo| view.user.membership(room) == MembershipState::Join;
    let sees = |receipt: &Receipt| !receipt.is_private() || receipt.user == view.user.user;
    let quiet = || Touch {
        receipts: Some(Vec::new()),
        events: false,
    };
    for (_, change) in changes {
        match change {
            Change::Event { room, .. } if is_joined(room) => {
                rooms.entry(room).or_insert_with(quiet).events = true;
            }
            Change::Receipt(receipt) if is_joined(receipt.room) && sees(&receipt) => {
                let touch = rooms.entry(receipt.room).or_insert_with(quiet);
                touch.receipts.get_or_insert_default().push(receipt);
            }
            Change::AccountData { user } if user == view.user.user => {
                for room in rooms_with_new_account_data(view) {
                    rooms.entry(room).or_insert_with(quiet);
                }
            }
            _ => {}
        }
    }
    for room in view.inner().typing.changed_after(view.ephemeral_since()) {
        if is_joined(room) {
            rooms.entry(room).or_insert_with(quiet);
        }
    }
    rooms
}

fn rooms_with_new_account_data(view: &View<'_>) -> impl Iterator<Item = RoomNo> {
    view.user.joined().filter_map(|member| {
        let kinds = view.user.room_account_data.get(&member.room_id)?;
        kinds
            .values()
            .any(|data| view.is_new(data.at))
            .then_some(member.room)
    })
}

/// All joined rooms.
fn everything(view: &View<'_>) -> BTreeMap<RoomNo, Touch> {
    let all = view.user.joined().map(|member| {
        let touch = Touch {
            receipts: None,
            events: true,
        };
        (member.room, touch)
    });
    all.collect()
}
