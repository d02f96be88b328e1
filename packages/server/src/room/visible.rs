//! Which stretches of a timeline a user may see anything of.
//!
//! Membership and history visibility change at few places; between two of them either everything
//! is visible or nothing is. A page skips the latter without reading them. This only saves work:
//! each event that is read is judged by [`matryx_entity::visibility`] all the same.

use matryx_entity::{
    member::Member, room_snapshot::RoomSnapshot, stretch::FIRST_POS, visibility::Surroundings,
};
use ruma::events::room::member::MembershipState;

/// Stretches of a timeline, sorted and apart from each other; both ends belong to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Visible(Vec<(i64, i64)>);

impl Visible {
    /// The stretches that a user with this membership record may see something of.
    pub(super) fn of(member: Option<&Member>, room: &RoomSnapshot) -> Self {
        let spans = member.map_or(&[][..], |member| &member.spans);
        let mut starts: Vec<i64> = spans
            .iter()
            .map(|(from, _)| *from)
            .chain(room.visibility.iter().map(|(from, _)| *from))
            .collect();
        starts.push(i64::MIN);
        starts.sort_unstable();
        starts.dedup();

        let mut stretches: Vec<(i64, i64)> = Vec::new();
        let ends = starts
            .iter()
            .skip(1)
            .map(|next| next.saturating_sub(1))
            .chain([i64::MAX]);
        for (start, end) in starts.iter().copied().zip(ends) {
            let stretch = if holds(member, room, start) {
                (start, end)
            } else if start < FIRST_POS {
                // Each event of the history from before says itself what held then.
                (start, end.min(FIRST_POS - 1))
            } else {
                // The event that changed what holds may be visible by what held before.
                (start, start)
            };
            match stretches.last_mut() {
                Some(last) if last.1.saturating_add(1) >= stretch.0 => last.1 = stretch.1,
                _ => stretches.push(stretch),
            }
        }
        Self(stretches)
    }

    /// The highest place at or below `pos` that may be visible.
    pub(super) fn at_or_below(&self, pos: i64) -> Option<i64> {
        let stretch = self.0.iter().rev().find(|(start, _)| *start <= pos)?;
        Some(stretch.1.min(pos))
    }

    /// The lowest place at or above `pos` that may be visible.
    pub(super) fn at_or_above(&self, pos: i64) -> Option<i64> {
        let stretch = self.0.iter().find(|(_, end)| *end >= pos)?;
        Some(stretch.0.max(pos))
    }
}

/// Is everything visible from `start` up to the next change?
fn holds(member: Option<&Member>, room: &RoomSnapshot, start: i64) -> bool {
    let visibility = room.visibility_at(start);
    let membership = member.map_or(MembershipState::Leave, |member| member.at_pos(start));
    let joins_later = member.is_some_and(|member| {
        member
            .spans
            .iter()
            .any(|(from, membership)| *from > start && *membership == MembershipState::Join)
    });
    Surroundings {
        visibility: [visibility.clone(), visibility],
        membership: [membership.clone(), membership],
        joins_later,
    }
    .allow()
}

#[cfg(test)]
mod tests {
    use matryx_entity::{position::Position, room_no::RoomNo};
    use ruma::{
        RoomVersionId, event_id, events::room::history_visibility::HistoryVisibility, room_id,
        user_id,
    };

    use super::*;

    fn room(visibility: &[(i64, HistoryVisibility)]) -> RoomSnapshot {
        let mut room =
            RoomSnapshot::empty(RoomNo(1), room_id!("!r:x").to_owned(), RoomVersionId::V11);
        room.visibility = visibility.iter().cloned().collect();
        room
    }

    fn member(spans: &[(i64, MembershipState)]) -> Member {
        Member {
            user: user_id!("@a:x").to_owned(),
            room: RoomNo(1),
            room_id: room_id!("!r:x").to_owned(),
            membership: spans
                .last()
                .map_or(MembershipState::Leave, |(_, membership)| membership.clone()),
            event_id: event_id!("$e").to_owned(),
            sender: user_id!("@a:x").to_owned(),
            pos: 1,
            at: Position::default(),
            since: Position::default(),
            spans: spans.to_vec(),
            forgotten: false,
            stripped_state: None,
        }
    }

    #[test]
    fn a_member_since_the_beginning_sees_all() {
        let member = member(&[(2, MembershipState::Join)]);
        let visible = Visible::of(Some(&member), &room(&[(4, HistoryVisibility::Shared)]));
        assert_eq!(visible, Visible(vec![(i64::MIN, i64::MAX)]));
    }

    #[test]
    fn what_was_before_a_join_is_skipped_where_only_members_may_look() {
        let member = member(&[(1_000, MembershipState::Join)]);
        let visible = Visible::of(Some(&member), &room(&[(4, HistoryVisibility::Joined)]));
        assert_eq!(visible.at_or_below(5_000), Some(5_000));
        assert_eq!(
            visible.at_or_below(999),
            Some(4),
            "the change itself, seen as shared"
        );
        assert_eq!(visible.at_or_above(5), Some(1_000));
    }

    #[test]
    fn what_came_after_leaving_is_skipped() {
        let member = member(&[(3, MembershipState::Join), (10, MembershipState::Leave)]);
        let visible = Visible::of(Some(&member), &room(&[(4, HistoryVisibility::Shared)]));
        assert_eq!(visible.at_or_below(1_000), Some(10));
        assert_eq!(visible.at_or_above(11), None);
    }

    #[test]
    fn a_stranger_sees_only_what_the_world_may_read() {
        let changes = [
            (4, HistoryVisibility::WorldReadable),
            (9, HistoryVisibility::Shared),
        ];
        let visible = Visible::of(None, &room(&changes));
        assert_eq!(
            visible,
            Visible(vec![(i64::MIN, 0), (4, 9)]),
            "history from before says itself who may read it"
        );
    }
}
